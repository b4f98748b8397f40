import { ForebayError } from '@forebay/protocol'
import type { InspectRequest, PartitionState } from '../broker.ts'
import type { Cluster } from './cluster.ts'
import { fetchCommitted, findCoordinator } from './commit.ts'
import { listOffsets, type TopicPartition } from './offsets.ts'
import { untilItWorks } from './retry.ts'

const WITHIN_MS = 10_000

/**
 * Answers `inspect`. Calls for the same topics and group that come while an answer is under way share the next one,
 * never the one under way: it may be older than the call, and callers take it for a barrier.
 */
export class Inspector {
  readonly #cluster: Cluster
  readonly #asking = new Map<string, Promise<readonly PartitionState[]>>()
  readonly #next = new Map<string, Promise<readonly PartitionState[]>>()
  readonly #coordinators = new Map<string, number>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  inspect(request: InspectRequest, signal: AbortSignal): Promise<readonly PartitionState[]> {
    const key = `${request.group ?? ''}\n${request.topics.join('\n')}`
    const queued = this.#next.get(key)
    if (queued !== undefined) return queued
    const before = this.#asking.get(key)
    if (before === undefined) return this.#begin(key, request, signal)
    const next = before
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        this.#next.delete(key)
        return this.#begin(key, request, signal)
      })
    this.#next.set(key, next)
    return next
  }

  #begin(key: string, request: InspectRequest, signal: AbortSignal): Promise<readonly PartitionState[]> {
    const asking = this.#ask(request, signal).finally(() => {
      if (this.#asking.get(key) === asking) this.#asking.delete(key)
    })
    this.#asking.set(key, asking)
    return asking
  }

  async #ask({ topics, group }: InspectRequest, signal: AbortSignal): Promise<readonly PartitionState[]> {
    const late = new AbortController()
    const timer = this.#cluster.settings.clock.timer(WITHIN_MS, () => late.abort(tooLate()))
    try {
      this.#cluster.watch(topics)
      return await untilItWorks(this.#cluster, 'Inspecting', AbortSignal.any([signal, late.signal]), async () => {
        await this.#look(topics)
        const places = this.#placesOf(topics)
        const [starts, ends, committed] = await Promise.all([
          listOffsets(this.#cluster, places, 'earliest'),
          listOffsets(this.#cluster, places, 'latest'),
          group === undefined ? [] : this.#committed(group, places),
        ])
        return places.map(({ topic, partition }, index) => ({
          topic,
          partition,
          start: starts[index]!,
          end: ends[index]!,
          committed: committed[index]?.offset ?? null,
        }))
      })
    } finally {
      timer.cancel()
    }
  }

  /** So that what is unknown is not there, and not only new to us. The first look may have begun before this call. */
  async #look(topics: readonly string[]): Promise<void> {
    for (let looks = 0; looks < 2; looks++) {
      if (topics.every((topic) => this.#cluster.partitionsOf(topic) !== undefined)) return
      await this.#cluster.refresh()
    }
  }

  #placesOf(topics: readonly string[]): TopicPartition[] {
    return topics.flatMap((topic) => {
      const partitions = this.#cluster.partitionsOf(topic) ?? 0
      return Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
    })
  }

  async #committed(group: string, places: readonly TopicPartition[]) {
    const node = this.#coordinators.get(group) ?? (await findCoordinator(this.#cluster, group))
    this.#coordinators.set(group, node)
    try {
      return await fetchCommitted(this.#cluster, this.#cluster.link(node, 'committed'), group, places)
    } catch (error) {
      this.#coordinators.delete(group)
      throw error
    }
  }
}

function tooLate(): ForebayError {
  return new ForebayError('BROKER_UNAVAILABLE', `Kafka did not say within ${WITHIN_MS} ms how far its topics are.`)
}
