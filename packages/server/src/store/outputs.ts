import type { ChunkContent, OutputHead, ProgressContent } from '../task.ts'

/**
 * Chunks and progress that tasks have said so far, kept beside their results. Written by `Store.apply` in the order of
 * the lane: an output that does not count (`countsAfter`) is dropped, the first of a new run removes what the task said before,
 * a progress replaces the progress before it, and nothing is taken of a generation earlier than the one known, nor after
 * the result of its own. A later generation begins anew. Gone with the task after retention; what belongs to a task
 * that never ends, as long after its last output.
 */
export interface Outputs {
  /** What a task has said after `after`, in the order of the lane. Null when nothing of it is kept. */
  read(request: OutputsRequest): Promise<KeptOutputs | null>
}

export interface OutputsRequest {
  readonly taskId: string
  /** Offset on the lane; -1 for everything. */
  readonly after: number
  /** Ends the page once it holds as many bytes of payloads; at least one output comes. */
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
