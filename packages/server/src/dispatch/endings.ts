import type { Clock } from '@forebay/broker'
import type { Logger } from 'pino'
import type { Finisher } from '../finish/finisher.ts'
import type { EndState, Fault, Result } from '../task.ts'
import type { QueueMeters } from '../telemetry.ts'
import type { Entry } from './entry.ts'

export interface EndingsDependencies {
  readonly finisher: Finisher
  readonly clock: Clock
  readonly log: Logger
  readonly meters: QueueMeters
}

/** From the end of a task to its settlement: the result, and the dead letter where there is one, are durable first. */
export class Endings {
  /** Ends that are being published. */
  underWay = 0
  readonly #dependencies: EndingsDependencies
  readonly #settle: (entry: Entry) => void
  readonly #idle: () => void

  /** `settle` is called when the result is durable and the entry still ours. */
  constructor(dependencies: EndingsDependencies, settle: (entry: Entry) => void, idle: () => void) {
    this.#dependencies = dependencies
    this.#settle = settle
    this.#idle = idle
  }

  end(entry: Entry, state: Exclude<EndState, 'succeeded'>, fault: Fault): void {
    void this.finish(entry, { state, fault })
  }

  expire(entry: Entry): void {
    const detail = `The task's time of ${entry.task.budgetMs} ms passed before it was done.`
    this.end(entry, 'expired', { code: 'TASK_EXPIRED', detail })
  }

  async finish(entry: Entry, end: Result['end']): Promise<void> {
    const { finisher, clock, meters, log } = this.#dependencies
    const { task, record, window, attempts } = entry
    const { id: taskId, queue, owner, generation } = task
    const atMs = clock.wallMs()
    const result: Result = { taskId, queue, owner, attempts, generation, finishedAtMs: atMs, end }
    const letter =
      end.state === 'dead'
        ? {
            record,
            taskId,
            queue,
            attempts,
            state: end.state,
            fault: end.fault,
            atMs,
            generation,
            history: entry.history ?? [],
          }
        : null
    this.underWay++
    const kept = await finisher.finish(result, task, letter, window.lost)
    this.underWay--
    if (kept && !window.lost.aborted) {
      meters.finished(end.state, Math.max(0, atMs - task.acceptedAtMs) / 1000)
      if (end.state === 'dead') log.warn({ task: taskId, attempts, code: end.fault.code }, 'a task was given up on')
      this.#settle(entry)
    }
    this.#idle()
  }
}
