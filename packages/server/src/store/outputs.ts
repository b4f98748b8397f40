import type { ChunkContent, OutputHead, ProgressContent } from '../task.ts'

/**
 * Chunks and progress that tasks have said so far, kept beside their results. Written by `Store.apply` in the order of
 * the lane: an output that does not count (`countsAfter`) is dropped, the first of a new run removes what the task said before,
 * a progress replaces the progress before it, and nothing is taken of a generation earlier than the one known (of the
 * task, or of its outputs), nor after the result of its own. A later generation begins anew: once a note or a result of
 * it is known, what was said in an earlier one is not read any more. What was said before a result stays beside it.
 *
 * Gone with the task after `retentionMs`; what belongs to a task that has not ended, as long after its last output.
 * `Store.rebuild` forgets all of it.
 */
export interface Outputs {
  /**
   * What a task has said after `after`, in the order of the lane; the head also where nothing comes after it. Null when
   * nothing of the task is kept.
   */
  read(request: OutputsRequest): Promise<KeptOutputs | null>
}

/** Outputs of one page. */
export const OUTPUTS_PAGE_MAX = 1_000

export interface OutputsRequest {
  readonly taskId: string
  /** Offset on the lane; -1 for everything. */
  readonly after: number
  /**
   * Ends the page once it holds as many bytes of payloads and messages (in UTF-8), or `OUTPUTS_PAGE_MAX` outputs; at least
   * one output comes.
   */
  readonly bytesMax: number
}

export interface KeptOutputs {
  readonly generation: number
  /** The attempt that said them. */
  readonly attempts: number
  /** Where the stream stands, all that is kept counted. */
  readonly head: OutputHead
  /** Of the run's first output on the lane: who has read something from before it must begin anew. */
  readonly beganAt: number
  /** Chunks in order, and the last progress at its place among them. */
  readonly outputs: readonly KeptOutput[]
  /** More follow after the last of these. */
  readonly more: boolean
}

export interface KeptOutput {
  /** On the lane; grows from one to the next. */
  readonly offset: number
  /** Chunks of the run so far, this one counted. */
  readonly chunks: number
  readonly atMs: number
  readonly content: ChunkContent | ProgressContent
}
