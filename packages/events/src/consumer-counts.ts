import type { QueueMeters } from '@forebay/server/dispatch'
import type { ConsumerMeters } from './event-meters.ts'

/** What a consumer has done since it started. */
export interface ConsumerCounts {
  /** Handlers that succeeded. */
  readonly handled: number
  /** Attempts that failed and are followed by another. */
  readonly retried: number
  /** Dead letters written. */
  readonly dead: number
  /** Events of types that nobody here handles. */
  readonly skipped: number
  /** Handlers that run now. */
  readonly running: number
  /** Events that are parked, as far as this process parked or took them. */
  readonly parked: number
}

export class Counts {
  handled = 0
  retried = 0
  dead = 0
  skipped = 0
  parked = 0
  readonly told: ConsumerMeters

  constructor(told: ConsumerMeters) {
    this.told = told
  }

  /** For the dispatchers of all topics alike. */
  readonly meters: QueueMeters = {
    accepted: () => {},
    attempted: () => {},
    running: () => {},
    throttled: () => {},
    breaker: () => {},
    windowsBlocked: () => {},
    retried: () => {
      this.retried++
      this.told.retried()
    },
    parked: (count) => {
      this.parked += count
      this.told.parked(count)
    },
    unparked: (count) => {
      this.parked -= count
      this.told.parked(-count)
    },
    finished: (state) => {
      if (state === 'succeeded') return
      this.dead++
      this.told.dead()
    },
  }
}
