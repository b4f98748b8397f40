import { type Clock, WINDOW_OFFSETS_MAX } from '@forebay/broker'
import type { Logger } from 'pino'
import type { QueueMeters } from '../telemetry.ts'
import type { Entry } from './entry.ts'
import type { PartitionWindow } from './partition-window.ts'
import { PARK_AFTER_MS, WINDOW_BYTES_MAX, WINDOW_RECORDS_MAX } from './window-limits.ts'

export interface HeadBlockDependencies {
  readonly queue: string
  readonly clock: Clock
  readonly log: Logger
  readonly meters: QueueMeters
  /** Parks one that waits; only called where there is a parking place. */
  park(entry: Entry, dueMs: number): void
}

/**
 * Looks for windows that are full because of a few tasks that do not end, and so keep everything behind them in the log.
 * Those that only wait are parked, with what is left of their wait; an attempt that runs is only reported.
 */
export class HeadBlock {
  readonly #dependencies: HeadBlockDependencies
  #nextReportMs = 0

  constructor(dependencies: HeadBlockDependencies) {
    this.#dependencies = dependencies
  }

  /** For now and then. */
  look(windows: Iterable<PartitionWindow>, running: ReadonlySet<Entry>): void {
    const { meters } = this.#dependencies
    let blocked = 0
    for (const window of windows) {
      const oldest = oldestOf(window, running)
      if (oldest === null || !isFull(window, oldest.record.offset)) continue
      if (window.parked !== null && this.#parkWaiting(window)) continue
      blocked++
      this.#report(window, oldest)
    }
    meters.windowsBlocked(blocked)
  }

  #parkWaiting(window: PartitionWindow): boolean {
    const { clock, log, queue, park } = this.#dependencies
    const nowMs = clock.monotonicMs()
    let parked = 0
    for (const entry of [...window.waiting]) {
      const { why, untilMs } = entry.wait!
      if (entry.delivery === null || (why !== 'budget' && untilMs - nowMs < WORTH_PARKING_MS)) continue
      window.endWait(entry)
      // Who waits for a place among the retries was promised no time: it need not come back at once.
      park(entry, why === 'budget' ? nowMs + PARK_AFTER_MS : untilMs)
      parked++
    }
    if (parked === 0) return false
    log.warn({ queue, partition: window.partition, parked }, 'a window was full of tasks that wait; they were parked')
    return true
  }

  #report({ partition, unfinished }: PartitionWindow, oldest: Entry): void {
    const { clock, log, queue } = this.#dependencies
    const nowMs = clock.monotonicMs()
    if (nowMs < this.#nextReportMs) return
    this.#nextReportMs = nowMs + REPORT_EVERY_MS
    const { task, attempts, attempt } = oldest
    const doing = attempt === null ? 'waiting' : `running for ${Math.round(nowMs - oldest.begunMs)} ms`
    log.warn({ queue, partition, unfinished, task: task.id, attempts, doing }, 'a task blocks its window')
  }
}

function isFull(window: PartitionWindow, oldestOffset: number): boolean {
  if (window.unfinished > WINDOW_RECORDS_MAX * FULL_SHARE) return true
  if (window.unfinishedBytes > WINDOW_BYTES_MAX * FULL_SHARE) return true
  return window.lastOffset - oldestOffset > WINDOW_OFFSETS_MAX * FULL_SHARE
}

/** The oldest one that waits or runs: what only waits for capacity is not what blocks. */
function oldestOf(window: PartitionWindow, running: ReadonlySet<Entry>): Entry | null {
  let oldest: Entry | null = null
  const look = (entry: Entry) => {
    if (entry.delivery === null || entry.window !== window) return
    if (oldest === null || entry.record.offset < oldest.record.offset) oldest = entry
  }
  for (const entry of window.waiting) look(entry)
  for (const entry of running) look(entry)
  return oldest
}

const FULL_SHARE = 0.9
/** Sooner than this it is over by itself, at less cost. */
const WORTH_PARKING_MS = 1_000
const REPORT_EVERY_MS = 30_000
