import type { CallbackFilter, CallbackView } from '../callbacks.ts'
import type { OutputsRequest } from '../outputs.ts'
import type { ApplyReport, Claim, HeldClaim, Reservation, Settlement, StoredTask } from '../store.ts'
import type { CallbackAct, CallbackAnswer } from './callback-calls.ts'
import type { FoundOutputs } from './output-lookups.ts'
import type { FoundRows, ParkedAnswer, ParkedQuery, ParkingAct, ParkingAnswer } from './parking-calls.ts'

/** What the store asks of the thread that owns the file. */
export type StoreCalls = {
  open: { argument: OpenStore; result: undefined }
  positions: { argument: string; result: ReadonlyMap<number, number> }
  write: { argument: Write; result: Written }
  /** Answers in the order of the ids. */
  read: { argument: readonly string[]; result: readonly (StoredTask | null)[] }
  /** Null where nothing of the task is kept. */
  readOutputs: { argument: OutputsRequest; result: FoundOutputs | null }
  listCallbacks: { argument: CallbackFilter; result: readonly CallbackView[] }
  /** When the next one falls due, by the store's clock. */
  nextCallback: { argument: { readonly nowMs: number }; result: number | null }
  /** The topic whose results and positions go. */
  rebuild: { argument: string; result: undefined }
  parkedFind: { argument: { readonly queue: string; readonly taskId: string }; result: FoundRows }
  parkedList: { argument: ParkedQuery; result: ParkedAnswer }
  lastFired: { argument: { readonly queue: string; readonly schedule: string }; result: number | null }
  sweep: { argument: Sweep; result: Swept }
  close: { argument: undefined; result: undefined }
}

export interface OpenStore {
  readonly path: string
  readonly claimMs: number
}

/** One transaction. */
export interface Write {
  /** By the store's clock. */
  readonly nowMs: number
  /** To tell the age of claims. */
  readonly monotonicMs: number
  /** Moves to the thread; as batch-codec.ts packs it. */
  readonly batches: ArrayBuffer | null
  readonly claims: readonly ClaimAct[]
  readonly parking: readonly ParkingAct[]
  /** Of the rows to park; moves to the thread. */
  readonly records: ArrayBuffer | null
  readonly callbacks: readonly CallbackAct[]
}

export type ClaimAct =
  | { readonly act: 'reserve'; readonly claim: Claim }
  | { readonly act: 'confirm' | 'release' | 'doubt' | 'renew'; readonly claim: HeldClaim }

/** Null for acts that there is nothing to say of. */
export type ClaimAnswer = Reservation | Settlement | null

export type Written =
  | {
      readonly kind: 'written'
      /** For each batch. */
      readonly reports: readonly ApplyReport[]
      /** For each act on a reservation. */
      readonly reservations: readonly ClaimAnswer[]
      /** For each act of parking. */
      readonly parking: readonly ParkingAnswer[]
      /** For each act about callbacks. */
      readonly callbacks: readonly CallbackAnswer[]
    }
  /** There was no room on the disk; nothing was written. */
  | { readonly kind: 'full'; readonly reason: string }
  /** The disk failed. Nothing more is written until a restart: what a failed flush left behind nobody knows. */
  | { readonly kind: 'stopped'; readonly reason: string }

export interface Sweep {
  readonly nowMs: number
  /** Results of tasks that ended before this go. */
  readonly endedBeforeMs: number
  /** What is known of unfinished tasks, where the last note is older, goes. */
  readonly notedBeforeMs: number
  readonly bytesMax: number
}

export interface Swept {
  /** There is more to remove: ask again. */
  readonly more: boolean
}
