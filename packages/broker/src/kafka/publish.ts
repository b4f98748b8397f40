import { ForebayError } from '@forebay/protocol'
import type { Position, RecordToPublish } from '../broker.ts'
import type { Timer } from '../clock.ts'
import { partitionOf } from '../partition-of.ts'
import { PublishCall } from '../publish-call.ts'
import { Backoff } from './backoff.ts'
import type { Cluster } from './cluster.ts'
import { CODE, KafkaCodeError } from './kafka-error.ts'
import type { Link } from './link.ts'
import { meaningOf } from './publish-answer.ts'
import { type PendingBatch, PublishQueue, settleDurable, settleFailed } from './publish-queue.ts'
import { type BatchCodec, recordBytes } from './record-batch.ts'
import { splitBatch } from './split-batch.ts'
import { type PartitionToProduce, type ProducedPartition, produce } from './wire.ts'

/** Everything that waits to be acknowledged; beyond, publish refuses at once (P6). */
export const BUFFERED_BYTES_MAX = 128 * 1024 * 1024
/** One request; the rest goes with the next. */
const REQUEST_BYTES_MAX = 8 * 1024 * 1024
/** Requests to one broker at a time; each partition is in one of them at most. */
const REQUESTS_MAX = 2
/** Records without a key change partition after so many, so that batches stay large and the spread even. */
const KEYLESS_RUN = 16
/** A request that has not been answered by this part of the timeout is tried again, elsewhere if need be. */
const REQUEST_SHARE = 1 / 3
const REQUEST_TIMEOUT_MS_MIN = 500
const EPOCH_MAX = 32_767

/**
 * Publishes with acks=all as an idempotent producer. Calls are gathered while a request to their broker is under way
 * (an idle connection sends at once), each partition has one batch under way, and every record is answered for within
 * `publishTimeoutMs`: durable, refused, or unknown where an attempt may have been appended.
 */
export class Publisher {
  readonly #cluster: Cluster
  readonly #crc32c: (bytes: Buffer) => number
  readonly #codec: BatchCodec | null
  readonly #queues = new Map<string, PublishQueue[]>()
  readonly #busy = new Set<PublishQueue>()
  readonly #requests = new Map<number, number>()
  readonly #connecting = new Set<number>()
  readonly #keyless = new Map<string, number>()
  readonly #requestTimeoutMs: number
  readonly #backoff: Backoff
  readonly #forget: () => void
  readonly #idle: (() => void)[] = []
  #producerId: bigint | null = null
  #askingProducerId = false
  #bufferedBytes = 0
  #dispatching = false
  #sweep: Timer | null = null
  #wake: Timer | null = null
  #closed = false

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#crc32c = cluster.library.crc32c
    const { compression } = cluster.settings
    this.#codec = compression === 'none' ? null : cluster.library.compressionsAlgorithms[compression]
    this.#backoff = new Backoff(cluster.settings.random)
    this.#requestTimeoutMs = Math.max(REQUEST_TIMEOUT_MS_MIN, cluster.settings.publishTimeoutMs * REQUEST_SHARE)
    this.#forget = cluster.onChange(() => this.#dispatchSoon())
  }

  publish(records: readonly RecordToPublish[]): Promise<readonly Position[]> {
    const call = new PublishCall(records.length)
    if (this.#closed) {
      const cause = new ForebayError('CLOSED', 'This broker was closed.')
      for (let index = 0; index < records.length; index++) call.fail(index, 'refused', cause)
    } else if (records.every(({ topic }) => this.#cluster.partitionsOf(topic) !== undefined)) {
      this.#append(records, call)
    } else {
      void this.#appendOnceKnown(records, call)
    }
    return call.promise
  }

  /** Resolves when everything that was published is answered for. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#busy.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
    this.#sweep?.cancel()
    this.#wake?.cancel()
    this.#forget()
  }

  #append(records: readonly RecordToPublish[], call: PublishCall): void {
    const { clock, recordBytesMax } = this.#cluster.settings
    const nowMs = clock.monotonicMs()
    const wallMs = Math.floor(clock.wallMs())
    for (let index = 0; index < records.length; index++) {
      const record = records[index]!
      const bytes = recordBytes(record.key, record.value, record.headers)
      const partition = this.#partitionFor(record)
      if (bytes > recordBytesMax) {
        call.fail(index, 'refused', tooLarge(bytes, recordBytesMax))
      } else if (this.#bufferedBytes + bytes > BUFFERED_BYTES_MAX) {
        call.fail(index, 'refused', new Error(`${BUFFERED_BYTES_MAX} bytes are waiting for Kafka already.`))
      } else if (partition === undefined) {
        call.fail(index, 'refused', noPartition(record, this.#cluster.partitionsOf(record.topic)))
      } else {
        const queue = this.#queueOf(record.topic, partition)
        this.#bufferedBytes += bytes
        queue.append(record, bytes, call, index, nowMs, wallMs)
        this.#busy.add(queue)
      }
    }
    if (this.#busy.size === 0) return
    this.#sweepLater()
    this.#dispatchSoon()
  }

  /** The topic was not part of `open`: learn of it first. */
  async #appendOnceKnown(records: readonly RecordToPublish[], call: PublishCall): Promise<void> {
    try {
      this.#cluster.watch(records.map(({ topic }) => topic))
      await this.#cluster.refresh()
      if (this.#closed) throw new ForebayError('CLOSED', 'This broker was closed.')
      this.#append(records, call)
    } catch (error) {
      for (let index = 0; index < records.length; index++) call.fail(index, 'refused', error)
    }
  }

  #partitionFor(record: RecordToPublish): number | undefined {
    const partitions = this.#cluster.partitionsOf(record.topic)
    if (partitions === undefined) return undefined
    if (record.partition !== undefined) return record.partition < partitions ? record.partition : undefined
    if (record.key !== null) return partitionOf(record.key, partitions)
    const nth = this.#keyless.get(record.topic) ?? Math.floor(this.#cluster.settings.random.unit() * 1000) * KEYLESS_RUN
    this.#keyless.set(record.topic, nth + 1)
    return Math.floor(nth / KEYLESS_RUN) % partitions
  }

  #queueOf(topic: string, partition: number): PublishQueue {
    let queues = this.#queues.get(topic)
    if (queues === undefined) {
      queues = []
      this.#queues.set(topic, queues)
    }
    queues[partition] ??= new PublishQueue(topic, partition, this.#cluster.settings.publishTimeoutMs)
    return queues[partition]
  }

  /** After what is at hand in this turn of the event loop: calls that arrive together go together. */
  #dispatchSoon(): void {
    if (this.#dispatching || this.#busy.size === 0) return
    this.#dispatching = true
    setImmediate(() => {
      this.#dispatching = false
      this.#dispatch()
    })
  }

  #dispatch(): void {
    if (this.#producerId === null) {
      this.#askProducerId()
      return
    }
    const nowMs = this.#cluster.settings.clock.monotonicMs()
    const perNode = new Map<number, PublishQueue[]>()
    let nextMs = Number.POSITIVE_INFINITY
    let leaderless = false
    for (const queue of this.#busy) {
      if (!queue.ready) continue
      if (queue.retryAtMs > nowMs) {
        nextMs = Math.min(nextMs, queue.retryAtMs)
        continue
      }
      const leader = this.#cluster.leaderOf(queue.topic, queue.partition)
      if (leader === undefined) leaderless = true
      else if ((this.#requests.get(leader) ?? 0) < REQUESTS_MAX) appendTo(perNode, leader, queue)
    }
    if (leaderless) this.#cluster.refreshSoon()
    for (const [node, queues] of perNode) this.#sendTo(node, queues)
    if (nextMs < Number.POSITIVE_INFINITY) this.#wakeAt(nextMs - nowMs)
  }

  #sendTo(node: number, queues: readonly PublishQueue[]): void {
    const link = this.#cluster.link(node, 'publish', this.#requestTimeoutMs + 500)
    if (link.standing === null) {
      this.#connect(node, link)
      return
    }
    const partitions: PartitionToProduce[] = []
    const sent: PublishQueue[] = []
    let bytes = 0
    for (const queue of queues) {
      if (bytes > REQUEST_BYTES_MAX) break
      const batch = this.#identify(queue)
      bytes += batch.length
      partitions.push({ topic: queue.topic, partition: queue.partition, batch })
      sent.push(queue)
    }
    this.#requests.set(node, (this.#requests.get(node) ?? 0) + 1)
    produce(this.#cluster.library, link.standing, partitions, this.#requestTimeoutMs, (error, produced) => {
      this.#requests.set(node, this.#requests.get(node)! - 1)
      if (error === null) this.#answered(sent, produced!)
      else this.#broken(sent, error)
      this.#dispatchSoon()
    })
    if (bytes > REQUEST_BYTES_MAX) this.#dispatchSoon()
  }

  /** Gives the next batch of the queue its place in the producer's sequence. */
  #identify(queue: PublishQueue): Buffer {
    const batch = queue.take()
    if (queue.producerId === -1n) queue.begin(this.#producerId!)
    if (batch.sequence < 0 || batch.epoch !== queue.epoch) {
      batch.sequence = queue.sequence
      batch.epoch = queue.epoch
      // Wraps round where Kafka's does.
      queue.sequence = (queue.sequence + batch.content.count) % 2 ** 31
    }
    return batch.content.seal(
      { producerId: queue.producerId, epoch: queue.epoch, sequence: batch.sequence },
      this.#crc32c,
      this.#codec,
    )
  }

  #answered(queues: readonly PublishQueue[], produced: readonly ProducedPartition[]): void {
    const answers = new Map(produced.map((one) => [`${one.partition} ${one.topic}`, one]))
    for (const queue of queues) {
      const answer = answers.get(`${queue.partition} ${queue.topic}`)
      if (answer === undefined) this.#uncertain(queue, new Error('Kafka did not answer for this partition.'))
      else if (answer.code === CODE.NONE) this.#durable(queue, answer.baseOffset)
      else this.#refused(queue, answer)
    }
  }

  #durable(queue: PublishQueue, baseOffset: number): void {
    const batch = queue.underWay!
    this.#backoff.reset()
    queue.underWay = null
    if (!batch.abandoned) {
      settleDurable(batch, queue.topic, queue.partition, baseOffset)
      this.#release(batch)
    }
    this.#restIfEmpty(queue)
  }

  #broken(queues: readonly PublishQueue[], error: Error): void {
    for (const queue of queues) this.#uncertain(queue, error)
    this.#cluster.refreshSoon()
  }

  /** An attempt may have been appended, now or later: only the same batch, at the same place, may follow. */
  #uncertain(queue: PublishQueue, cause: unknown): void {
    queue.underWay!.perhapsAppended = true
    this.#again(queue, cause)
  }

  #refused(queue: PublishQueue, { code, message, topic, partition }: ProducedPartition): void {
    const batch = queue.underWay!
    const name = this.#cluster.library.protocolErrorsCodesById[code] ?? 'an error'
    const cause = new KafkaCodeError(code, `Kafka answered ${name} for ${topic}/${partition}. ${message ?? ''}`.trim())
    if (code === CODE.MESSAGE_TOO_LARGE && batch.content.count > 1 && !batch.abandoned) {
      this.#renew(queue)
      queue.putBack(...splitBatch(this.#cluster.library, batch))
      return
    }
    const meaning = meaningOf(code)
    if (meaning === 'final') {
      queue.underWay = null
      this.#renew(queue)
      this.#giveUp(batch, cause)
      this.#restIfEmpty(queue)
      return
    }
    if (meaning === 'perhaps') batch.perhapsAppended = true
    if (meaning === 'sequence-lost') {
      this.#renew(queue)
      batch.sequence = -1
    } else if (code !== CODE.NOT_ENOUGH_REPLICAS) {
      this.#cluster.refreshSoon()
    }
    this.#again(queue, cause)
  }

  #renew(queue: PublishQueue): void {
    queue.renewEpoch()
    if (queue.epoch <= EPOCH_MAX) return
    queue.producerId = -1n
    this.#producerId = null
  }

  #again(queue: PublishQueue, cause: unknown): void {
    const batch = queue.underWay!
    batch.cause = cause
    if (batch.abandoned) {
      queue.underWay = null
      this.#renew(queue)
      this.#restIfEmpty(queue)
      return
    }
    queue.putBack(batch)
    queue.retryAtMs = this.#cluster.settings.clock.monotonicMs() + this.#backoff.nextMs()
  }

  #giveUp(batch: PendingBatch, cause: unknown): void {
    if (batch.abandoned) return
    batch.abandoned = true
    settleFailed(batch, batch.perhapsAppended ? 'unknown' : 'refused', cause)
    this.#release(batch)
  }

  #release(batch: PendingBatch): void {
    this.#bufferedBytes -= batch.payloadBytes
  }

  /** Looks from time to time for batches whose time is over; a timer for each would cost more than sending them. */
  #sweepLater(): void {
    if (this.#sweep !== null) return
    const { clock, publishTimeoutMs } = this.#cluster.settings
    const everyMs = publishTimeoutMs * SWEEP_SHARE
    this.#sweep = clock.timer(everyMs, () => {
      this.#sweep = null
      this.#expire(clock.monotonicMs() - publishTimeoutMs + everyMs)
      if (this.#busy.size > 0) this.#sweepLater()
    })
  }

  #expire(bornBeforeMs: number): void {
    for (const queue of [...this.#busy]) {
      for (const batch of queue.expired(bornBeforeMs)) {
        if (batch.sequence >= 0) this.#renew(queue)
        this.#giveUp(batch, batch.cause ?? new Error('Kafka could not be reached in time; nothing was sent.'))
      }
      const batch = queue.underWay
      if (batch !== null && batch.bornMs < bornBeforeMs) {
        batch.perhapsAppended = true
        this.#giveUp(batch, batch.cause ?? new Error('Kafka did not acknowledge in time.'))
      }
      this.#restIfEmpty(queue)
    }
  }

  #restIfEmpty(queue: PublishQueue): void {
    if (!queue.empty) return
    this.#busy.delete(queue)
    if (this.#busy.size === 0) this.#rest()
  }

  #rest(): void {
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #connect(node: number, link: Link): void {
    if (this.#connecting.has(node)) return
    this.#connecting.add(node)
    link
      .ready()
      .catch(() => {
        this.#cluster.refreshSoon()
        return this.#cluster.settings.clock.sleep(this.#backoff.nextMs())
      })
      .finally(() => {
        this.#connecting.delete(node)
        this.#dispatchSoon()
      })
  }

  #askProducerId(): void {
    if (this.#askingProducerId) return
    this.#askingProducerId = true
    void this.#cluster
      .anyLink()
      .then((link) => link.call(this.#cluster.library.initProducerIdV4.api, null, 0))
      .then(
        ({ producerId }) => {
          this.#producerId = producerId
        },
        () => this.#cluster.settings.clock.sleep(this.#backoff.nextMs()),
      )
      .finally(() => {
        this.#askingProducerId = false
        this.#dispatchSoon()
      })
  }

  #wakeAt(delayMs: number): void {
    this.#wake?.cancel()
    this.#wake = this.#cluster.settings.clock.timer(delayMs, () => this.#dispatchSoon())
  }
}

const SWEEP_SHARE = 0.02

function appendTo<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

function tooLarge(bytes: number, bytesMax: number): ForebayError {
  return new ForebayError('TASK_TOO_LARGE', `A record of ${bytes} bytes: Kafka takes ${bytesMax} at most.`, {
    members: { bytes, bytesMax },
  })
}

function noPartition({ topic, partition }: RecordToPublish, partitions: number | undefined): Error {
  return partitions === undefined
    ? new Error(`Kafka has no topic '${topic}'.`)
    : new Error(`Topic '${topic}' has ${partitions} partitions and so no partition ${partition}.`)
}
