import type { Connection } from '@platformatic/kafka'
import type { LogRecord } from '../broker.ts'
import type { Timer } from '../clock.ts'
import { Backoff } from './backoff.ts'
import type { Cluster } from './cluster.ts'
import { FetchSession, FULL } from './fetch-session.ts'
import { CODE, KafkaCodeError, messageOf } from './kafka-error.ts'
import type { Link } from './link.ts'
import { readRecords } from './record-reader.ts'
import { type Fetched, type FetchedPartition, fetch } from './wire.ts'

/** Longest wait of a fetch that finds nothing. */
const WAIT_MS = 500
/** The same for the last connection, so that a partition that joins late waits no longer than this. */
const WAIT_LATE_MS = 10
const CONNECTIONS = 3
const BYTES_MAX = 8 * 1024 * 1024
export const PARTITION_BYTES_MAX = 1024 * 1024
const TIMEOUT_MS = 10_000
/** The session is not Kafka's any more, or not as we have it: restarted, pushed out by others, out of step. */
const SESSION_CODES: ReadonlySet<number> = new Set([
  CODE.FETCH_SESSION_ID_NOT_FOUND,
  CODE.INVALID_FETCH_SESSION_EPOCH,
  CODE.FETCH_SESSION_TOPIC_ID_ERROR,
])

/** The place of somebody who reads one partition. */
export interface PartitionReader {
  readonly topic: string
  readonly partition: number
  /** Next offset to read; moved on here. */
  offset: number
  /** Has room for more. Call `FetchLoops.wake` when it becomes true. */
  readonly wanted: boolean
  /** Records in order; perhaps none, when only markers were passed. */
  take(records: LogRecord[], bytes: number): void
  /** The log does not reach to `offset` any more, or not yet. The reader moves, or ends, and then wakes us. */
  outOfRange(): void
}

/** What readers need of the loops. */
export type Fetching = Pick<FetchLoops, 'add' | 'remove' | 'wake'>

interface State {
  /** Of the partition, see keyOf. */
  readonly key: string
  readonly reader: PartitionReader
  readonly backoff: Backoff
  underWay: boolean
  retryAtMs: number
}

/**
 * Reads for every subscription and listener of a broker: one waiting fetch per Kafka node covers all partitions it
 * leads. Kafka answers a connection's requests in turn, so a partition that gets room while that fetch waits is
 * fetched on a second connection instead of after it; they come together again as answers arrive.
 */
export class FetchLoops {
  readonly #cluster: Cluster
  readonly #states = new Map<PartitionReader, State>()
  readonly #nodes = new Map<number, NodeLoop>()
  readonly #forget: () => void
  #kicking = false
  #wake: Timer | null = null
  #closed = false

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#forget = cluster.onChange(() => this.#kickSoon())
  }

  add(reader: PartitionReader): void {
    const backoff = new Backoff(this.#cluster.settings.random)
    this.#states.set(reader, { key: keyOf(reader), reader, backoff, underWay: false, retryAtMs: 0 })
    this.#kickSoon()
  }

  /** What is fetched for it afterwards is dropped. */
  remove(reader: PartitionReader): void {
    this.#states.delete(reader)
  }

  wake(): void {
    this.#kickSoon()
  }

  close(): void {
    this.#closed = true
    this.#wake?.cancel()
    this.#states.clear()
    this.#forget()
  }

  /** Once for all who wake us in this turn. */
  #kickSoon(): void {
    if (this.#kicking || this.#closed) return
    this.#kicking = true
    queueMicrotask(() => {
      this.#kicking = false
      if (!this.#closed) this.#kick()
    })
  }

  #kick(): void {
    const nowMs = this.#cluster.settings.clock.monotonicMs()
    const perNode = new Map<number, State[]>()
    let nextMs = Number.POSITIVE_INFINITY
    for (const state of this.#states.values()) {
      if (state.underWay || !state.reader.wanted) continue
      if (state.retryAtMs > nowMs) {
        nextMs = Math.min(nextMs, state.retryAtMs)
        continue
      }
      const leader = this.#cluster.leaderOf(state.reader.topic, state.reader.partition)
      if (leader === undefined) {
        this.#cluster.refreshSoon()
        continue
      }
      const states = perNode.get(leader)
      if (states === undefined) perNode.set(leader, [state])
      else states.push(state)
    }
    for (const [node, states] of perNode) this.#fetch(node, states)
    if (nextMs === Number.POSITIVE_INFINITY) return
    this.#wake?.cancel()
    this.#wake = this.#cluster.settings.clock.timer(nextMs - nowMs, () => this.#kickSoon())
  }

  #fetch(node: number, states: readonly State[]): void {
    const loop = this.#loopOf(node)
    const slot = loop.free()
    if (slot === null) return
    for (const state of states) state.underWay = true
    slot.busy = true
    void this.#fetchOn(slot, loop.inTurn(states)).finally(() => {
      slot.busy = false
      for (const state of states) state.underWay = false
      this.#kickSoon()
    })
  }

  /** Who has no news is not in the answer, and is free again like the others. */
  async #fetchOn(slot: Slot, states: readonly State[]): Promise<void> {
    try {
      const asked = new Map(states.map((state) => [state.key, state]))
      for (const one of await this.#ask(slot, asked)) {
        const state = asked.get(keyOf(one))
        if (state !== undefined && this.#states.get(state.reader) === state) this.#took(state, one)
      }
    } catch (error) {
      if (this.#closed) return
      for (const state of states) this.#later(state)
      this.#cluster.settings.onWarning('A fetch from Kafka failed; it is tried again.', { cause: messageOf(error) })
      this.#cluster.refreshSoon()
    }
  }

  /** Empty when Kafka refused the session, too: the next fetch, at once, is a full one. */
  async #ask(slot: Slot, asked: ReadonlyMap<string, State>): Promise<readonly FetchedPartition[]> {
    const { link, session } = slot
    const connection = link.standing ?? (await link.ready())
    if (slot.connection !== connection) session.lost()
    slot.connection = connection
    const plan = session.plan(asked)
    const limits = { waitMs: slot.waitMs, bytesMax: BYTES_MAX, partitionBytesMax: PARTITION_BYTES_MAX }
    const { code, sessionId, partitions } = await new Promise<Fetched>((resolve, reject) => {
      fetch(this.#cluster.library, connection, plan, limits, (error, answer) =>
        error ? reject(error) : resolve(answer!),
      )
    })
    if (code === CODE.NONE) session.answered(plan, sessionId)
    else if (plan.epoch === FULL || !SESSION_CODES.has(code)) {
      throw new KafkaCodeError(code, `Kafka refused a fetch with code ${code}.`)
    }
    return partitions
  }

  #took(state: State, fetched: FetchedPartition): void {
    const { reader } = state
    if (fetched.code === CODE.OFFSET_OUT_OF_RANGE) {
      this.#later(state)
      reader.outOfRange()
    } else if (fetched.code !== CODE.NONE) {
      this.#later(state)
      this.#cluster.refreshSoon()
    } else if (fetched.bytes.length > 0) {
      try {
        const { records, nextOffset, bytes } = readRecords(
          this.#cluster.library,
          reader,
          fetched.bytes,
          fetched.aborted,
        )
        state.backoff.reset()
        if (nextOffset === reader.offset) return
        reader.offset = nextOffset
        reader.take(records, bytes)
      } catch (error) {
        // Passing over it would lose records in silence; so it is asked for again, and said aloud.
        this.#later(state)
        this.#cluster.settings.onWarning('Records came that cannot be read; they are asked for again.', {
          topic: reader.topic,
          partition: reader.partition,
          offset: reader.offset,
          cause: messageOf(error),
        })
      }
    }
  }

  #later(state: State): void {
    state.retryAtMs = this.#cluster.settings.clock.monotonicMs() + state.backoff.nextMs()
  }

  #loopOf(node: number): NodeLoop {
    let loop = this.#nodes.get(node)
    if (loop === undefined) {
      loop = new NodeLoop((nth) => this.#cluster.link(node, `fetch-${nth}`, TIMEOUT_MS))
      this.#nodes.set(node, loop)
    }
    return loop
  }
}

function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${partition} ${topic}`
}

interface Slot {
  readonly link: Link
  readonly session: FetchSession
  /** Over which the session's last fetch went. */
  connection: Connection | null
  readonly waitMs: number
  busy: boolean
}

/** The connections over which one node is read. */
class NodeLoop {
  readonly #slots: readonly Slot[]
  #turn = 0

  constructor(link: (nth: number) => Link) {
    this.#slots = Array.from({ length: CONNECTIONS }, (_, nth) => ({
      link: link(nth),
      session: new FetchSession(),
      connection: null,
      waitMs: nth === CONNECTIONS - 1 ? WAIT_LATE_MS : WAIT_MS,
      busy: false,
    }))
  }

  /**
   * While the last connection is under way the others rest, for ten milliseconds at most: then all that is free goes
   * out together, and the last one is there again for whoever comes late.
   */
  free(): Slot | null {
    if (this.#slots.at(-1)!.busy) return null
    return this.#slots.find((slot) => !slot.busy) ?? null
  }

  /** Kafka fills an answer from the front: each partition comes first in its turn. */
  inTurn<Item>(items: readonly Item[]): readonly Item[] {
    this.#turn = (this.#turn + 1) % 2 ** 30
    const from = this.#turn % items.length
    return from === 0 ? items : [...items.slice(from), ...items.slice(0, from)]
  }
}
