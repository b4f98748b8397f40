import type {
  AssignedPartition,
  Broker,
  ConsumeRequest,
  InspectRequest,
  Listener,
  ListenRequest,
  OpenRequest,
  PartitionState,
  Position,
  RecordToPublish,
  Subscription,
} from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { Owner } from '../../history/history.ts'
import { fixBeginnings } from '../../packages/broker/src/kafka/beginnings.ts'
import { Cluster } from '../../packages/broker/src/kafka/cluster.ts'
import { KafkaSubscription } from '../../packages/broker/src/kafka/consume.ts'
import { Inspector } from '../../packages/broker/src/kafka/inspect.ts'
import { type KafkaListener, listen } from '../../packages/broker/src/kafka/listen.ts'
import { resolveKafkaOptions } from '../../packages/broker/src/kafka/options.ts'
import type { SimProcess } from '../process.ts'
import { SIM_CAPABILITIES } from './capabilities.ts'
import { SimFetcher } from './fetcher.ts'
import { simulatedLibrary } from './library.ts'
import type { SimLog } from './log.ts'
import { SimPublisher } from './publisher.ts'

export interface SimBrokerOptions {
  readonly publishTimeoutMs: number
  readonly commitIntervalMs: number
  readonly sessionTimeoutMs: number
}

/** One process's way to the simulated log: the real Kafka adapter from its group protocol upwards. */
export class SimBroker implements Broker {
  readonly capabilities = SIM_CAPABILITIES
  readonly #log: SimLog
  readonly #cluster: Cluster
  readonly #fetcher: SimFetcher
  readonly #publisher: SimPublisher
  readonly #inspector: Inspector
  readonly #readers = new Set<KafkaSubscription | KafkaListener>()
  readonly #closing = new AbortController()
  readonly #owners = new WeakMap<AbortSignal, Owner>()
  #opened = false

  constructor(log: SimLog, process: SimProcess, options: SimBrokerOptions) {
    this.#log = log
    const { clock, random } = process
    const settings = resolveKafkaOptions({ bootstrap: ['log:1'], ...options, clock, random })
    this.#cluster = new Cluster(simulatedLibrary(log, process), settings)
    this.#fetcher = new SimFetcher(log, process)
    this.#publisher = new SimPublisher(log, process, options.publishTimeoutMs)
    this.#inspector = new Inspector(this.#cluster)
  }

  /** Under which assignment, as this member has it, deliveries with this `lost` came. */
  ownerOf(lost: AbortSignal): Owner | undefined {
    return this.#owners.get(lost)
  }

  async open({ topics }: OpenRequest): Promise<void> {
    this.#log.makeTopics(topics)
    this.#cluster.watch(topics.map(({ name }) => name))
    await this.#cluster.refresh()
    this.#opened = true
  }

  publish(records: readonly RecordToPublish[]): Promise<readonly Position[]> {
    return this.#publisher.publish(records)
  }

  async consume(request: ConsumeRequest): Promise<Subscription> {
    this.#mustBeOpen()
    const onAssigned = (assigned: AssignedPartition) => {
      const { topic, partition, lost } = assigned
      this.#owners.set(lost, { topic, partition, epoch: this.#log.nextAssignment() })
      request.onAssigned?.(assigned)
    }
    const closed = (one: KafkaSubscription) => this.#readers.delete(one)
    const beginnings = await fixBeginnings(this.#cluster, request, this.#closing.signal)
    const told = { ...request, onAssigned }
    const subscription = new KafkaSubscription(this.#cluster, this.#fetcher, told, closed, beginnings)
    this.#readers.add(subscription)
    return subscription
  }

  async listen(request: ListenRequest): Promise<Listener> {
    this.#mustBeOpen()
    const listener = await listen(this.#cluster, this.#fetcher, request, this.#closing.signal, (one) =>
      this.#readers.delete(one),
    )
    this.#readers.add(listener)
    return listener
  }

  async inspect(request: InspectRequest): Promise<readonly PartitionState[]> {
    this.#mustBeOpen()
    return this.#inspector.inspect(request, this.#closing.signal)
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort(closedError())
    await Promise.all([...[...this.#readers].map((reader) => reader.close()), this.#publisher.close()])
    this.#cluster.close()
  }

  #mustBeOpen(): void {
    if (!this.#opened || this.#closing.signal.aborted) throw closedError()
  }
}

function closedError(): ForebayError {
  return new ForebayError('CLOSED', 'This broker is closed, or was not opened.')
}
