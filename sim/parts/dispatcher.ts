import { startCancellations } from '../../packages/server/src/dispatch/cancellations.ts'
import { type QueueDispatcher, startQueueDispatcher } from '../../packages/server/src/dispatch/queue-dispatcher.ts'
import { createFinisher } from '../../packages/server/src/finish/finisher.ts'
import type { Store } from '../../packages/server/src/store/store.ts'
import { usableParking } from '../../packages/server/src/store/usable-parking.ts'
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
  #close: () => Promise<void> = () => Promise.resolve()
  readonly #process: SimProcess
  readonly #broker: SimBroker
  readonly #store: Store
  readonly #dispatchers: QueueDispatcher[] = []
  readonly #workers: Workers
  readonly #journal: Journal

  constructor(process: SimProcess, broker: SimBroker, store: Store, workers: Workers, journal: Journal) {
    this.#process = process
    this.#broker = broker
    this.#store = store
    this.#workers = workers
    this.#journal = journal
  }

  async start(): Promise<void> {
    const broker = this.#broker
    await broker.open({ topics: TOPICS })
    const parking = usableParking(this.#store, broker)
    if (parking !== null) await this.#store.open()
    const { clock, random } = this.#process
    const { log, metrics } = TELEMETRY
    const finisher = createFinisher({ broker, clock, random, log, metrics })
    const cancellations = startCancellations({ broker, clock, random, log })
    const common = { broker, finisher, cancellations, parking, lanes: LANES, clock, random, log }
    for (const queue of QUEUES) {
      const target = new SimTarget({
        process: this.#process,
        workers: this.#workers,
        journal: this.#journal,
        capacity: CAPACITY,
        ownerOf: (lost) => broker.ownerOf(lost),
      })
      const meters = metrics.queue(queue.name)
      this.#dispatchers.push(
        await startQueueDispatcher({ ...common, queue, partitions: queue.partitions, target, meters }),
      )
    }
    this.#close = async () => {
      finisher.close()
      await cancellations.close()
      if (parking !== null) await this.#store.close()
      await broker.close()
    }
    this.ready = true
  }

  async stop(graceMs: number): Promise<void> {
    this.ready = false
    await Promise.all(this.#dispatchers.map((one) => one.stop({ graceMs })))
    await this.#close()
  }
}
