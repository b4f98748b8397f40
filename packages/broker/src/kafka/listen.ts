import { ForebayError } from '@forebay/protocol'
import type { Listener, ListenRequest, LogRecord } from '../broker.ts'
import { Pull } from '../pull.ts'
import type { Cluster } from './cluster.ts'
import type { Fetching, PartitionReader } from './fetch-loop.ts'
import { listOffsets } from './offsets.ts'
import { untilItWorks } from './retry.ts'

/** What a listener holds that was not pulled yet; one fetch more may come on top. */
const BUFFERED_BYTES_MAX = 4 * 1024 * 1024

/** Fixes the place, then reads from there on for ever. */
export async function listen(
  cluster: Cluster,
  loops: Fetching,
  request: ListenRequest,
  signal: AbortSignal,
  onClose: (listener: KafkaListener) => void,
): Promise<KafkaListener> {
  const { topic, partition } = request
  cluster.watch([topic])
  const from = await untilItWorks(cluster, `Finding where to read ${topic}/${partition}`, signal, async () => {
    const partitions = cluster.partitionsOf(topic)
    if (partitions !== undefined && partition >= partitions) throw noPartition(topic, partition, partitions)
    if (request.from === 'latest' || typeof request.from === 'object') {
      return (await listOffsets(cluster, [request], request.from))[0]!
    }
    const earliest = (await listOffsets(cluster, [request], 'earliest'))[0]!
    return request.from === 'earliest' ? earliest : Math.max(earliest, request.from)
  })
  return new KafkaListener(cluster, loops, { topic, partition }, from, onClose)
}

export class KafkaListener implements Listener, PartitionReader {
  readonly topic: string
  readonly partition: number
  readonly from: number
  offset: number
  readonly #cluster: Cluster
  readonly #loops: Fetching
  readonly #onClose: (listener: KafkaListener) => void
  readonly #closing = new AbortController()
  readonly #pull: Pull<readonly LogRecord[]>
  #arrived: LogRecord[][] = []
  #arrivedBytes = 0

  constructor(
    cluster: Cluster,
    loops: Fetching,
    place: { readonly topic: string; readonly partition: number },
    from: number,
    onClose: (listener: KafkaListener) => void,
  ) {
    this.topic = place.topic
    this.partition = place.partition
    this.from = from
    this.offset = from
    this.#cluster = cluster
    this.#loops = loops
    this.#onClose = onClose
    this.#pull = new Pull(
      () => this.#takeArrived(),
      () => this.close(),
    )
    loops.add(this)
  }

  get wanted(): boolean {
    return this.#arrivedBytes < BUFFERED_BYTES_MAX && !this.#moving
  }
  #moving = false

  take(records: LogRecord[], bytes: number): void {
    if (records.length === 0) return
    this.#arrived.push(records)
    this.#arrivedBytes += bytes
    this.#pull.arrived()
  }

  outOfRange(): void {
    this.#moving = true
    const what = `Finding the earliest record of ${this.topic}/${this.partition}`
    void untilItWorks(this.#cluster, what, this.#closing.signal, () => listOffsets(this.#cluster, [this], 'earliest'))
      .then(([earliest]) => {
        this.#cluster.settings.onWarning('Records to be heard are gone; reading goes on at the earliest left.', {
          topic: this.topic,
          partition: this.partition,
          wanted: this.offset,
          earliest,
        })
        this.offset = earliest!
        this.#moving = false
        this.#loops.wake()
      })
      .catch(() => {})
  }

  [Symbol.asyncIterator](): AsyncIterator<readonly LogRecord[]> {
    return this.#pull
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    this.#loops.remove(this)
    this.#arrived = []
    this.#pull.end()
    this.#onClose(this)
  }

  #takeArrived(): readonly LogRecord[] | null {
    if (this.#arrived.length === 0) return null
    const records = this.#arrived.length === 1 ? this.#arrived[0]! : this.#arrived.flat()
    this.#arrived = []
    this.#arrivedBytes = 0
    this.#loops.wake()
    return records
  }
}

function noPartition(topic: string, partition: number, partitions: number): ForebayError {
  return new ForebayError(
    'CONFIG_INVALID',
    `Topic '${topic}' has ${partitions} partitions: there is no ${partition}.`,
    {
      members: { topic, partition },
    },
  )
}
