/**
 * The words of this system, one per idea; the same in code, proto, topics, metrics and docs.
 *
 * - Queue: a named stream of tasks with one policy. Its topic is `forebay.tasks.<queue>` unless configured.
 * - Task: one request made durable.
 * - Attempt: one hand-over of a task to a worker, numbered from 1, under a lease.
 * - Outcome: how an attempt ended.
 * - Result: the one final, visible end of a task.
 * - Note: what is known of a task before its end, published on its lane.
 * - Output: chunks and progress of a running task, published on its lane before its result.
 * - Parked: a key (or a single task) that waits durably outside the log: for a time, or for an operator.
 * - Generation: one life of a task; only an operator's redrive of a dead task opens another.
 * - Lane: the results partition that a gateway listens to, written into each task so that its result comes back there.
 * - Dead letter: a task given up on, kept with its whole history.
 */
import type { LogRecord } from '@forebay/broker'
import type { ErrorCode } from '@forebay/protocol'

export interface Task {
  readonly id: string
  readonly queue: string
  /** Ordering key; null when the task has none. */
  readonly key: string | null
  /** The request's body as received. */
  readonly payload: Uint8Array
  /** Media type; 'application/octet-stream' where the caller named none. */
  readonly contentType: string
  /** For workers: trace context and the caller's allowed headers. Names in lower case, values printable ASCII. */
  readonly headers: readonly TaskHeader[]
  /** The principal that handed it in; only it (or an operator) may read the task. */
  readonly owner: string
  /** Results partition. */
  readonly lane: number
  /** Wall time, ms since 1970. */
  readonly acceptedAtMs: number
  /** From acceptance to the deadline, ms. */
  readonly budgetMs: number
  /** From acceptance to the moment before which no attempt begins, ms; 0 for at once. */
  readonly delayMs: number
  /** 0 to 9, as JMS and AMQP have it: the higher one goes first. Default 4. */
  readonly priority: number
  /** 0 as it was handed in; each redrive of a dead letter adds 1. */
  readonly generation: number
  /** Attempts that were made before this record: it was parked, and came back to the log when it was due. */
  readonly attemptsBefore: number
  /** Where the payload is when it is too large for a record; `payload` is empty then. */
  readonly blob: BlobRef | null
}

/** What a task has that asks for nothing special. */
export const PLAIN_TASK = { delayMs: 0, priority: 4, generation: 0, attemptsBefore: 0, blob: null } as const

export const PRIORITY_MAX = 9
export const PRIORITY_DEFAULT = 4

/** Bytes kept outside the log, named by what they are. */
export interface BlobRef {
  /** In hex. */
  readonly sha256: string
  readonly bytes: number
}

export type TaskHeader = readonly [name: string, value: string]

export interface Attempt {
  readonly task: Task
  /** As it was found in the log. */
  readonly record: LogRecord
  /** 1 for the first. */
  readonly number: number
  /** The attempt's own time limit: the queue's timeout, or what is left of the task's budget if less. ms */
  readonly timeoutMs: number
  /** Aborts when this process loses the right to run the task; its outcome is then ignored. */
  readonly lost: AbortSignal
  /** Where its chunks and progress go while it runs. */
  readonly output: OutputSink
}

/** Takes the partial output of one attempt, in order. */
export interface OutputSink {
  /**
   * Resolves true when the chunk is durable on the task's lane, false when that no longer matters: the attempt is over,
   * or its assignment lost. The caller holds to `CHUNK_BYTES_MAX`, `CHUNKS_BYTES_MAX`, `CHUNKS_MAX` and `CHUNKS_WINDOW_BYTES`.
   */
  chunk(payload: Uint8Array, contentType: string): Promise<boolean>
  /** Best effort; the last of several within `PROGRESS_EVERY_MS` counts. `fraction` 0 to 1, null where not known. */
  progress(fraction: number | null, message: string): void
}

/** One chunk, in bytes. */
export const CHUNK_BYTES_MAX = 256 * 1024
/** All chunks of one attempt together, in bytes. */
export const CHUNKS_BYTES_MAX = 16 * 1024 * 1024
/** Chunks of one attempt. */
export const CHUNKS_MAX = 100_000
/** Chunks of one attempt that are sent and not known to be durable, in bytes. */
export const CHUNKS_WINDOW_BYTES = 512 * 1024
/** What is kept of a progress message, in bytes of UTF-8. */
export const PROGRESS_MESSAGE_BYTES_MAX = 1_024
export const PROGRESS_EVERY_MS = 200

/** How an attempt ended. */
export type Outcome =
  | {
      readonly kind: 'succeeded'
      readonly payload: Uint8Array
      readonly contentType: string
      /** Where the answer is when it is too large for a record; `payload` is empty then. */
      readonly blob?: BlobRef
    }
  | {
      readonly kind: 'failed'
      readonly code: ErrorCode
      /** One sentence for the caller and the operator. */
      readonly message: string
      /** 'retry': another attempt may succeed. 'final': the request is at fault. 'dead': keep it for an operator. */
      readonly then: 'retry' | 'final' | 'dead'
      /** Not again before this has passed; a server's or worker's own word. ms */
      readonly retryAfterMs?: number
      /** Whoever ran it, for the history. */
      readonly worker?: string
    }
  | { readonly kind: 'timed-out'; readonly worker?: string }
  /** Somebody cancelled the task; its result is in the log already. */
  | { readonly kind: 'cancelled'; readonly worker?: string }
  | { readonly kind: 'worker-lost'; readonly message: string; readonly worker?: string }

/** One attempt of a task as its dead letter tells of it. */
export interface AttemptRecord {
  /** 1 for the first of the task's generation. */
  readonly number: number
  /** Wall time, ms since 1970. */
  readonly beganAtMs: number
  readonly endedAtMs: number
  readonly code: ErrorCode
  /** Cut to `ATTEMPT_DETAIL_CHARS_MAX` in the dead letter. */
  readonly detail: string
  /** Name of the worker, or the target's address; null where nobody said. */
  readonly worker: string | null
}

export type EndState = 'succeeded' | 'failed' | 'dead' | 'cancelled' | 'expired'
export type OpenState = 'pending' | 'running' | 'retrying' | 'parked'
export type TaskState = OpenState | EndState

export function isEndState(state: string): state is EndState {
  return END_STATES.has(state)
}

export function isOpenState(state: string): state is OpenState {
  return OPEN_STATES.has(state)
}

const OPEN_STATES: ReadonlySet<string> = new Set<OpenState>(['pending', 'running', 'retrying', 'parked'])
const END_STATES: ReadonlySet<string> = new Set<EndState>(['succeeded', 'failed', 'dead', 'cancelled', 'expired'])

/** Why a task did not succeed, or why its last attempt did not. */
export interface Fault {
  readonly code: ErrorCode
  readonly detail: string
}

export interface Result {
  readonly taskId: string
  readonly queue: string
  readonly owner: string
  readonly attempts: number
  /** Which life of the task this ends; the promise of one answer holds within each. */
  readonly generation: number
  /** Wall time, ms since 1970. */
  readonly finishedAtMs: number
  readonly end:
    | {
        readonly state: 'succeeded'
        readonly payload: Uint8Array
        readonly contentType: string
        /** Where the answer is when it is too large for a record; `payload` is empty then. */
        readonly blob?: BlobRef
      }
    | { readonly state: Exclude<EndState, 'succeeded'>; readonly fault: Fault }
}

export interface Note {
  readonly taskId: string
  readonly queue: string
  readonly owner: string
  /** 'pending' opens a new generation of a dead task. */
  readonly state: OpenState
  /** The attempt that runs, or that failed last. */
  readonly attempts: number
  readonly generation: number
  readonly atMs: number
  /** With 'retrying', and with 'parked' where a failure led to it: why. */
  readonly fault: Fault | null
}

/**
 * Partial output of a running task: a chunk of its answer, or how far it has come. Two runs of a task are two streams:
 * what a later run begins to say replaces what the earlier one said, and whatever the earlier one says after that is void.
 */
export interface Output {
  readonly taskId: string
  readonly queue: string
  readonly owner: string
  /** The attempt that said it. */
  readonly attempts: number
  readonly generation: number
  /** Names the hand-over that said it; two attempts of one number differ in it. 16 hex digits. */
  readonly run: string
  /** Whether it is the first of its run. */
  readonly first: boolean
  /** Chunks of this run so far, this one counted: 1 for the first chunk. */
  readonly chunks: number
  readonly atMs: number
  readonly content: ChunkContent | ProgressContent
}

export interface ChunkContent {
  readonly kind: 'chunk'
  readonly payload: Uint8Array
  readonly contentType: string
}

export interface ProgressContent {
  readonly kind: 'progress'
  /** 0 to 1; null where nobody knows. */
  readonly fraction: number | null
  readonly message: string
}

/** Where the stream of a task stands: the run that counts, and its chunks so far. */
export interface OutputHead {
  readonly run: string
  readonly chunks: number
}

/**
 * Whether an output counts, given what counted before it in the order of the lane: the first of a run replaces what was
 * there; within a run every chunk comes once, in order. What a publish that was tried again doubled is dropped here, and
 * what a worker says that lost its task.
 */
export function countsAfter(head: OutputHead | null, output: Output): boolean {
  const { run, first, chunks, content } = output
  if (first && (head === null || head.run !== run)) return chunks === (content.kind === 'chunk' ? 1 : 0)
  if (head === null || head.run !== run) return false
  return chunks === (content.kind === 'chunk' ? head.chunks + 1 : head.chunks)
}
