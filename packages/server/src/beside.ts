import type { TopicSpec } from '@forebay/broker'

/** A part of a process that the server does not know, on the server's log: the collector of the edge. */
export interface Beside {
  /** Made where they are missing. */
  readonly topics: readonly TopicSpec[]
  /**
   * Called once, before the log is open: what comes meanwhile may be kept elsewhere. `opened` settles with the log's opening.
   * Throws what stands in the way, with everything closed again.
   */
  start(opened: Promise<void>): Promise<void>
  /** What keeps it from doing its work, for /readyz. */
  problems(): readonly string[]
  /** Called once, while the log is still open, also where `start` was not called or failed. */
  stop(graceMs: number): Promise<void>
}
