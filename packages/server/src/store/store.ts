import type { BlobRef, EndState, Fault, Note, OpenState, Output, Result } from '../task.ts'
import type { Callbacks } from './callbacks.ts'
import type { Outputs } from './outputs.ts'
import type { Parking } from './parking.ts'

/**
 * The port to durable state: results (first wins), notes, idempotency reservations. Written by recorders in log order,
 * together with the consumed position in one transaction, so that it can always be rebuilt from the results topic.
 */
export interface Store {
  readonly capabilities: StoreCapabilities
  /** Parked tasks; null where the store does not promise to keep them: the capabilities say why. */
  readonly parking: Parking | null
  /** Chunks and progress of tasks; null where the store does not keep them: watchers then hear only what comes after them. */
  readonly outputs: Outputs | null
  /** Who is to be called when a task has ended; null where the store does not promise to keep it. */
  readonly callbacks: Callbacks | null
  open(): Promise<void>
  /** First offset of each partition of `topic` that has not been applied; partitions never applied are absent. */
  positions(topic: string): Promise<ReadonlyMap<number, number>>
  /**
   * Applies what was read from one partition, all or nothing, durably. Within a task's generation a second result is
   * counted and dropped (P2), and a note never replaces a result nor a later note; what is of a later generation
   * replaces everything earlier, what is of an earlier one is dropped. Entries come in log order.
   * A batch that starts below the stored position is applied from the position on. One that starts above it is not
   * applied: the store has lost what it had (a restored backup, a rebuild), and its reader begins again from there.
   */
  apply(batch: RecordedBatch): Promise<ApplyReport>
  /** What is known of a task; null when nothing is. */
  get(taskId: string): Promise<StoredTask | null>
  /**
   * Forgets results, notes and the positions of `topic`, the one they came from: its readers find themselves behind and
   * read it again from the start. Reservations and parked tasks stay.
   */
  rebuild(topic: string): Promise<void>
  /**
   * Claims (principal, route, key) for a new task, or says who holds it. Exactly one of concurrent claims wins.
   */
  reserve(claim: Claim): Promise<Reservation>
  /**
   * The claimed task's record is in the log: a replay may answer with it from now on, whoever else holds the claim by now.
   */
  confirm(claim: HeldClaim): Promise<Settlement>
  /**
   * This holder has not appended the claimed task, and will not. 'sole': the key is free again. 'shared': somebody else may
   * have appended it, so its id stands for the key, and the next request resumes it, at once.
   */
  release(claim: HeldClaim): Promise<Settlement>
  /** The append of the claimed task had an unknown outcome: the next request with this key resumes it, at once. */
  doubt(claim: HeldClaim): Promise<void>
  /** This process is still appending the claimed task: the claim counts from now. Nothing where another holds it by now. */
  renew(claim: HeldClaim): Promise<void>
  /** Finishes what was asked, lets go of files and sockets. */
  close(): Promise<void>
}

export interface StoreCapabilities {
  readonly name: 'embedded' | 'postgres' | 'redis'
  /** Whether several processes share it. Where not, each gateway's process keeps its own, fed by its own recorder. */
  readonly shared: boolean
  /** What it cannot promise, a sentence each; shown at start and in docs. */
  readonly cannot: readonly string[]
}

export interface RecordedBatch {
  readonly topic: string
  readonly partition: number
  /** Position before the batch, as its reader has it; null where nothing was ever applied. */
  readonly from: number | null
  /** Position after the batch. */
  readonly next: number
  readonly entries: readonly RecordedEntry[]
}

export type RecordedEntry =
  | { readonly kind: 'result'; readonly offset: number; readonly result: Result }
  | { readonly kind: 'note'; readonly offset: number; readonly note: Note }
  /** Only for a store that has `outputs`. */
  | { readonly kind: 'output'; readonly offset: number; readonly output: Output }

export type RecordedFact = Exclude<RecordedEntry, { readonly kind: 'output' }>

export type ApplyReport =
  | {
      readonly kind: 'applied'
      /** Results that were dropped because the task had one already, or lives in a later generation. */
      readonly duplicates: number
    }
  /** The store stands below `from` (null: it has nothing of this partition); nothing was applied. */
  | { readonly kind: 'behind'; readonly position: number | null }

export interface StoredTask {
  readonly taskId: string
  readonly queue: string
  readonly owner: string
  readonly attempts: number
  readonly generation: number
  readonly status:
    | { readonly state: OpenState; readonly atMs: number; readonly fault: Fault | null }
    | {
        readonly state: 'succeeded'
        readonly finishedAtMs: number
        readonly payload: Uint8Array
        readonly contentType: string
        readonly blob?: BlobRef
      }
    | { readonly state: Exclude<EndState, 'succeeded'>; readonly finishedAtMs: number; readonly fault: Fault }
}

export interface ClaimKey {
  readonly principal: string
  /** The queue. */
  readonly route: string
  readonly key: string
}

/** Names one claim: whoever comes later to a key that became free claims it for another task. */
export interface HeldClaim extends ClaimKey {
  /** As it was claimed, or resumed. */
  readonly taskId: string
}

export interface Claim extends HeldClaim {
  /** Digest of what was asked, to tell a repetition from another request. */
  readonly fingerprint: string
  /** How long the reservation is kept. ms */
  readonly windowMs: number
}

export type Reservation =
  | { readonly kind: 'claimed' }
  /** Somebody is between claim and append right now. */
  | { readonly kind: 'in-flight' }
  /**
   * A claim that nobody has renewed in time, or whose append had an unknown outcome: append again with this task id; first
   * result wins, so a second record does no harm. The claim is this caller's now. Its former holder may be alive and append yet.
   */
  | { readonly kind: 'resume'; readonly taskId: string }
  | { readonly kind: 'kept'; readonly taskId: string }
  | { readonly kind: 'mismatch' }

/**
 * Whether a claim was its first holder's to the end. 'shared': it was resumed, or is not there any more, so another may have
 * appended the task, and what was heard of it first need not be its first result.
 */
export type Settlement = 'sole' | 'shared'
