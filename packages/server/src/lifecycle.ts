/** Whatever runs: stopping early, late or twice is safe. */
export interface Running extends AsyncDisposable {
  /**
   * Two stages: takes nothing new and finishes what runs; after `graceMs` (default 10,000) hands back the rest and
   * names it. A second call with a smaller grace shortens the first.
   */
  stop(options?: StopOptions): Promise<StopReport>
  /** Resolves when it has stopped, for whatever reason. */
  readonly stopped: Promise<StopReport>
}

export interface StopOptions {
  /** 0 ends at once, still losing nothing: unfinished tasks come back to the next owner. */
  readonly graceMs?: number
}

export interface StopReport {
  /** What was unfinished when the grace time was over, one line each; empty after a clean stop. */
  readonly left: readonly string[]
}

export const STOP_GRACE_MS_DEFAULT = 10_000
