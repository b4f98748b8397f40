import { startQueueDispatcher } from '../../packages/server/src/dispatch/queue-dispatcher.ts'
import { createFinisher } from '../../packages/server/src/finish/finisher.ts'
import type { Journal } from '../journal.ts'
import type { SimBroker } from '../log/broker.ts'
import type { SimProcess } from '../process.ts'
import { LANES, QUEUES, TOPICS } from '../queues.ts'
import { TELEMETRY } from '../telemetry.ts'
import type { Program } from './node.ts'
import { SimTarget } from './target.ts'
import type { Workers } from './workers.ts'

const CAPACITY = 4

/** What a dispatcher's process runs. */
export class SimDispatcher implements Program {
  ready = false
  readonly #process: SimProcess
  readonly #broker: SimBroker
  readonly #workers: Workers
  readonly #journal: Journal

  constructor(process: SimProcess, broker: SimBroker, workers: Workers, journal: Journal) {
    this.#process = process
    this.#broker = broker
    this.#workers = workers
    this.#journal = journal
  }

  async start(): Promise<void> {
    const broker = this.#broker
    await broker.open({ topics: TOPICS })
    const { clock, random } = this.#process
    const { log, metrics } = TELEMETRY
    const finisher = createFinisher({ broker, clock, random, log })
    for (const queue of QUEUES) {
      const target = new SimTarget({
        process: this.#process,
        workers: this.#workers,
        journal: this.#journal,
        capacity: CAPACITY,
        ownerOf: (lost) => broker.ownerOf(lost),
      })
      const meters = metrics.queue(queue.name)
      await startQueueDispatcher({ queue, broker, target, finisher, lanes: LANES, clock, random, log, meters })
    }
    this.ready = true
  }
}
