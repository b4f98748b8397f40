import type { ConsumeRequest } from '../broker.ts'
import type { Cluster } from './cluster.ts'
import { listOffsets, type TopicPartition } from './offsets.ts'
import { untilItWorks } from './retry.ts'

/** Offsets by `keyOf`; for partitions that are not named, a group that is new begins at the earliest record. */
export type Beginnings = ReadonlyMap<string, number>

export const FROM_EARLIEST: Beginnings = new Map()

export function keyOf({ topic, partition }: TopicPartition): string {
  return `${partition} ${topic}`
}

/** Fixes where a group that is new begins: what is published from now on is at or after those places. */
export async function fixBeginnings(
  cluster: Cluster,
  { topics, group, from = 'earliest' }: ConsumeRequest,
  signal: AbortSignal,
): Promise<Beginnings> {
  if (from === 'earliest') return FROM_EARLIEST
  cluster.watch(topics)
  return untilItWorks(cluster, `Finding where group '${group}' begins`, signal, async () => {
    const places = topics.flatMap((topic) => {
      const partitions = cluster.partitionsOf(topic)
      if (partitions === undefined) throw new Error(`Kafka has no topic '${topic}'.`)
      return Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
    })
    const offsets = await listOffsets(cluster, places, from)
    return new Map(places.map((place, index) => [keyOf(place), offsets[index]!]))
  })
}
