import type { EventBody, HistoryEvent } from '../history/history.ts'
import type { Schedule } from './schedule.ts'

/** Writes down what happens, and counts which corners of the system the run has been in. */
export class Journal {
  readonly events: HistoryEvent[] = []
  readonly covered = new Map<string, number>()
  readonly #schedule: Schedule

  constructor(schedule: Schedule) {
    this.#schedule = schedule
  }

  write(by: string, body: EventBody): void {
    // Whole microseconds: a shorter text, and no difference between machines in the last digits.
    this.events.push({ t: Math.round(this.#schedule.nowMs * 1000) / 1000, by, ...body })
  }

  cover(corner: string): void {
    this.covered.set(corner, (this.covered.get(corner) ?? 0) + 1)
  }
}
