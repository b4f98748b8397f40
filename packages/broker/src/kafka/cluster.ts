import { ForebayError } from '@forebay/protocol'
import type { metadataV9 } from '@platformatic/kafka'
import type { Timer } from '../clock.ts'
import { Backoff } from './backoff.ts'
import { messageOf, responseIn } from './kafka-error.ts'
import type { Library } from './library.ts'
import { Link } from './link.ts'
import type { Address, KafkaSettings } from './options.ts'

/** Each has connections of its own to a broker, so that none waits behind another. */
export type Purpose = 'ask' | 'committed' | 'publish' | `fetch-${number}` | `group-${string}` | `join-${string}`

const ASK_TIMEOUT_MS = 5_000
/** New partitions and moved leaders are noticed by then, also when nothing fails. */
const REFRESH_EVERY_MS = 60_000

/** Who is in the cluster, who leads which partition, and the connections to them. */
export class Cluster {
  readonly library: Library
  readonly settings: KafkaSettings
  readonly #topics = new Set<string>()
  readonly #leaders = new Map<string, readonly number[]>()
  readonly #links = new Map<string, Link>()
  readonly #bootstrapLinks: readonly Link[]
  readonly #changed = new Set<() => void>()
  #nodes: ReadonlyMap<number, Address> = new Map()
  #asking: Promise<void> | null = null
  #supervising = false
  #regular: Timer | null = null
  #closed = false

  constructor(library: Library, settings: KafkaSettings) {
    this.library = library
    this.settings = settings
    this.#bootstrapLinks = settings.bootstrap.map(
      (address) => new Link(library, settings, () => address, ASK_TIMEOUT_MS),
    )
  }

  get nodeCount(): number {
    return this.#nodes.size
  }

  /** Undefined while the topic is not known. */
  partitionsOf(topic: string): number | undefined {
    return this.#leaders.get(topic)?.length
  }

  /** Undefined while nobody leads the partition. */
  leaderOf(topic: string, partition: number): number | undefined {
    const leader = this.#leaders.get(topic)?.[partition]
    return leader !== undefined && this.#nodes.has(leader) ? leader : undefined
  }

  link(node: number, purpose: Purpose, requestTimeoutMs = ASK_TIMEOUT_MS): Link {
    const key = `${node} ${purpose}`
    let link = this.#links.get(key)
    if (link === undefined) {
      link = new Link(this.library, this.settings, () => this.#addressOf(node), requestTimeoutMs)
      this.#links.set(key, link)
    }
    return link
  }

  /** Ends the connections of a purpose, for good. */
  closeLinks(purpose: Purpose): void {
    for (const [key, link] of this.#links) {
      if (!key.endsWith(` ${purpose}`)) continue
      link.close()
      this.#links.delete(key)
    }
  }

  /** A link to any broker that answers; throws BROKER_UNAVAILABLE with every address and why. */
  async anyLink(): Promise<Link> {
    const causes: string[] = []
    const known = [...this.#nodes.keys()].map((node) => this.link(node, 'ask'))
    const standing = known.find((link) => link.standing !== null)
    if (standing !== undefined) return standing
    let cause: unknown
    for (const link of [...known, ...this.#bootstrapLinks]) {
      try {
        await link.ready()
        return link
      } catch (error) {
        cause = error
        causes.push(messageOf(error))
      }
    }
    const addresses = this.settings.bootstrap.map(({ host, port }) => `${host}:${port}`)
    throw new ForebayError('BROKER_UNAVAILABLE', `No Kafka broker answers: ${[...new Set(causes)].join(' ')}`, {
      members: { addresses },
      cause,
    })
  }

  /** Keeps the topics in view from now on. */
  watch(topics: readonly string[]): void {
    for (const topic of topics) this.#topics.add(topic)
    this.#regular ??= this.settings.clock.timer(REFRESH_EVERY_MS, () => {
      this.#regular = null
      this.refreshSoon()
      this.watch([])
    })
  }

  onChange(hear: () => void): () => void {
    this.#changed.add(hear)
    return () => this.#changed.delete(hear)
  }

  /** Asks once; callers at the same time share the question. */
  refresh(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null
    })
    return this.#asking
  }

  /** Asks until somebody answers; listeners of `onChange` hear of it, also when nothing has changed. */
  refreshSoon(): void {
    if (this.#supervising || this.#closed) return
    this.#supervising = true
    void this.#askUntilAnswered().finally(() => (this.#supervising = false))
  }

  close(): void {
    this.#closed = true
    this.#regular?.cancel()
    for (const link of [...this.#links.values(), ...this.#bootstrapLinks]) link.close()
    this.#links.clear()
    this.#changed.clear()
  }

  async #askUntilAnswered(): Promise<void> {
    const { clock, random } = this.settings
    const backoff = new Backoff(random)
    while (!this.#closed) {
      await clock.sleep(backoff.nextMs())
      if (this.#closed) return
      try {
        await this.refresh()
        for (const hear of this.#changed) hear()
        return
      } catch (error) {
        this.settings.onWarning('Kafka does not answer.', { cause: messageOf(error) })
      }
    }
  }

  async #ask(): Promise<void> {
    const link = await this.anyLink()
    const answer = await link
      .call(this.library.metadataV9.api, [...this.#topics], false, false, false)
      .catch((error: unknown) => {
        const partly = responseIn<metadataV9.MetadataResponse>(error)
        if (partly === null) throw error
        return partly
      })
    if (answer.brokers.length > 0) {
      this.#nodes = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    }
    for (const topic of answer.topics) {
      if (topic.errorCode !== 0 || topic.partitions.length === 0) continue
      const leaders = new Array<number>(topic.partitions.length).fill(-1)
      for (const { partitionIndex, leaderId } of topic.partitions) leaders[partitionIndex] = leaderId
      this.#leaders.set(topic.name, leaders)
    }
  }

  #addressOf(node: number): Address {
    const address = this.#nodes.get(node)
    if (address === undefined) throw new Error(`Broker ${node} is not in the cluster any more.`)
    return address
  }
}
