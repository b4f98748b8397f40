import type { Clock, Timer } from '@forebay/broker'
import type { Logger } from 'pino'
import type { Parking } from '../store/parking.ts'
import type { PartitionWindow } from './partition-window.ts'

export interface CancelledRowsDependencies {
  readonly parking: Parking
  readonly clock: Clock
  readonly log: Logger
  windows(): Iterable<PartitionWindow>
  /** So many rows are gone, heads of lines perhaps. */
  onDropped(count: number): void
}

/**
 * Drops parked rows of cancelled tasks. Nobody knows in which partition a task is, if it is parked at all: all owned
 * ones are asked, once for the many that come in a moment. One that stays costs room only: it is not run when due.
 */
export class CancelledRows {
  readonly #dependencies: CancelledRowsDependencies
  #taskIds: string[] = []
  #timer: Timer | null = null

  constructor(dependencies: CancelledRowsDependencies) {
    this.#dependencies = dependencies
  }

  add(taskIds: readonly string[]): void {
    for (const taskId of taskIds) if (this.#taskIds.length < GATHERED_MAX) this.#taskIds.push(taskId)
    this.#timer ??= this.#dependencies.clock.timer(GATHER_MS, () => {
      this.#timer = null
      void this.#drop(this.#taskIds.splice(0))
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  async #drop(taskIds: readonly string[]): Promise<void> {
    const { parking, log, windows, onDropped } = this.#dependencies
    for (const window of [...windows()]) {
      const owned = window.parked?.store.owned
      if (!owned || window.lost.aborted) continue
      try {
        const dropped = await parking.drop(owned, taskIds)
        if (dropped.length > 0 && !window.lost.aborted) onDropped(dropped.length)
      } catch (error) {
        log.warn({ err: error, ...owned }, 'parked tasks that were cancelled stay until they are due')
      }
    }
  }
}

const GATHER_MS = 100
const GATHERED_MAX = 10_000
