import { ForebayError } from '@forebay/protocol'
import type {
  Broker,
  BrokerCapabilities,
  ConsumeRequest,
  InspectRequest,
  Listener,
  ListenRequest,
  OpenRequest,
  PartitionState,
  Position,
  RecordToPublish,
  Subscription,
} from '../broker.ts'
import { PublishError } from '../broker.ts'
import { fixBeginnings } from './beginnings.ts'
import { Cluster } from './cluster.ts'
import { KafkaSubscription } from './consume.ts'
import { warnOfWeakTopics } from './durability.ts'
import { FetchLoops } from './fetch-loop.ts'
import { Inspector } from './inspect.ts'
import { loadLibrary } from './library.ts'
import { type KafkaListener, listen } from './listen.ts'
import { type KafkaBrokerOptions, type KafkaSettings, resolveKafkaOptions } from './options.ts'
import { Publisher } from './publish.ts'
import { ensureTopics } from './topics.ts'

export type { KafkaBrokerOptions } from './options.ts'
export { type KafkaSurvey, type SurveyedTopic, surveyKafka } from './survey.ts'

/** How long `open` looks for a cluster that answers. */
const OPEN_WITHIN_MS = 20_000

/** Kafka 3.0 or newer, as a log. Throws CONFIG_INVALID for options that can't be right; reaches out in `open` only. */
export function kafkaBroker(options: KafkaBrokerOptions): Broker {
  return new KafkaBroker(resolveKafkaOptions(options))
}

class KafkaBroker implements Broker {
  readonly capabilities: BrokerCapabilities
  readonly #settings: KafkaSettings
  readonly #closing = new AbortController()
  readonly #readers = new Set<KafkaSubscription | KafkaListener>()
  #parts: Parts | null = null
  #closed: Promise<void> | null = null

  constructor(settings: KafkaSettings) {
    this.#settings = settings
    this.capabilities = Object.freeze({
      name: 'kafka',
      durability: settings.fsync ? 'fsync' : 'replicated',
      shared: true,
      doneSetSurvivesRestart: true,
      recordBytesMax: settings.recordBytesMax,
    })
  }

  async open({ topics, signal }: OpenRequest): Promise<void> {
    const cluster = this.#parts?.cluster ?? new Cluster(await loadLibrary(), this.#settings)
    const late = new AbortController()
    const timer = this.#settings.clock.timer(OPEN_WITHIN_MS, () => late.abort())
    try {
      await ensureTopics(
        cluster,
        topics,
        AbortSignal.any([this.#closing.signal, late.signal, ...(signal ? [signal] : [])]),
      )
      await warnOfWeakTopics(
        cluster,
        topics.map(({ name }) => name),
      )
    } catch (error) {
      if (this.#parts === null) cluster.close()
      throw error
    } finally {
      timer.cancel()
    }
    this.#parts ??= {
      cluster,
      publisher: new Publisher(cluster),
      loops: new FetchLoops(cluster),
      inspector: new Inspector(cluster),
    }
  }

  publish(records: readonly RecordToPublish[]): Promise<readonly Position[]> {
    if (this.#parts !== null) return this.#parts.publisher.publish(records)
    const cause = this.#notOpen()
    const failed = records.map((_, index) => ({ index, outcome: 'refused', cause }) as const)
    return Promise.reject(new PublishError(cause.message, failed))
  }

  async consume(request: ConsumeRequest): Promise<Subscription> {
    const { cluster, loops } = this.#open()
    const beginnings = await fixBeginnings(cluster, request, this.#closing.signal)
    const closed = (one: KafkaSubscription) => this.#readers.delete(one)
    const subscription = new KafkaSubscription(cluster, loops, request, closed, beginnings)
    this.#readers.add(subscription)
    return subscription
  }

  async listen(request: ListenRequest): Promise<Listener> {
    const { cluster, loops } = this.#open()
    const listener = await listen(cluster, loops, request, this.#closing.signal, (closed) => {
      this.#readers.delete(closed)
    })
    this.#readers.add(listener)
    return listener
  }

  async inspect(request: InspectRequest): Promise<readonly PartitionState[]> {
    return this.#open().inspector.inspect(request, this.#closing.signal)
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing.abort(this.#notOpen())
    if (this.#parts === null) return
    const { cluster, loops, publisher } = this.#parts
    await Promise.all([...[...this.#readers].map((reader) => reader.close()), publisher.close()])
    loops.close()
    cluster.close()
  }

  #open(): Parts {
    if (this.#parts === null || this.#closing.signal.aborted) throw this.#notOpen()
    return this.#parts
  }

  #notOpen(): ForebayError {
    return new ForebayError('CLOSED', 'This broker is closed, or was not opened.')
  }
}

interface Parts {
  readonly cluster: Cluster
  readonly publisher: Publisher
  readonly loops: FetchLoops
  readonly inspector: Inspector
}
