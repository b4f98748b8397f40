import type { offsetCommitV8, offsetFetchV8 } from '@platformatic/kafka'
import type { CommitPosition, Epoch } from './assignment.ts'
import type { Cluster } from './cluster.ts'
import { CODE, KafkaCodeError, responseIn } from './kafka-error.ts'
import type { Link } from './link.ts'
import type { TopicPartition } from './offsets.ts'

/**
 * Commits positions that were all earned under one epoch. Sends once, under that epoch and no other, and never joins
 * a group (P5); the library's own commit replays refused offsets under a new membership. Returns Kafka's code for each
 * position. A done-set that Kafka finds too large is left out at once.
 */
export async function commitPositions(
  cluster: Cluster,
  link: Link,
  group: string,
  epoch: Epoch,
  positions: readonly CommitPosition[],
): Promise<readonly number[]> {
  const codes = await sendCommit(cluster, link, group, epoch, positions)
  const tooLarge = positions.filter((_, index) => codes[index] === CODE.OFFSET_METADATA_TOO_LARGE)
  if (tooLarge.length === 0) return codes
  cluster.settings.onWarning('Kafka has no room for the done-set; only the first unfinished offset is kept.', {
    group,
    partitions: tooLarge.map(({ assignment }) => `${assignment.topic}/${assignment.partition}`),
  })
  const bare = tooLarge.map((position) => ({ ...position, metadata: '' }))
  const again = await sendCommit(cluster, link, group, epoch, bare)
  for (const { assignment } of tooLarge) assignment.withoutDoneSet = true
  return codes.map((code, index) => {
    const at = tooLarge.indexOf(positions[index]!)
    return at < 0 ? code : again[at]!
  })
}

async function sendCommit(
  cluster: Cluster,
  link: Link,
  group: string,
  { generation, memberId }: Epoch,
  positions: readonly CommitPosition[],
): Promise<readonly number[]> {
  const topics = [...Map.groupBy(positions, ({ assignment }) => assignment.topic)].map(([name, own]) => ({
    name,
    partitions: own.map(({ assignment, offset, metadata }) => ({
      partitionIndex: assignment.partition,
      committedOffset: BigInt(offset),
      committedLeaderEpoch: -1,
      committedMetadata: metadata,
    })),
  }))
  const answer = await link
    .call(cluster.library.offsetCommitV8.api, group, generation, memberId, null, topics)
    .catch((error: unknown) => {
      const refused = responseIn<offsetCommitV8.OffsetCommitResponse>(error)
      if (refused === null) throw error
      return refused
    })
  const codes = new Map<string, number>()
  for (const { name, partitions } of answer.topics) {
    for (const { partitionIndex, errorCode } of partitions) codes.set(`${partitionIndex} ${name}`, errorCode)
  }
  return positions.map(({ assignment }) => codes.get(`${assignment.partition} ${assignment.topic}`) ?? -1)
}

export interface Committed {
  readonly offset: number
  readonly metadata: string
}

/** What the group has committed, in the order given; null where it never has. */
export async function fetchCommitted(
  cluster: Cluster,
  link: Link,
  group: string,
  places: readonly TopicPartition[],
): Promise<(Committed | null)[]> {
  const topics = [...Map.groupBy(places, ({ topic }) => topic)].map(([name, own]) => ({
    name,
    partitionIndexes: own.map(({ partition }) => partition),
  }))
  const answer: offsetFetchV8.OffsetFetchResponse = await link.call(
    cluster.library.offsetFetchV8.api,
    [{ groupId: group, memberEpoch: -1, topics }],
    false,
  )
  const found = new Map<string, Committed>()
  for (const { name, partitions } of answer.groups[0]?.topics ?? []) {
    for (const { partitionIndex, committedOffset, metadata, errorCode } of partitions) {
      if (errorCode !== 0) throw new KafkaCodeError(errorCode, `Kafka could not tell what '${group}' has committed.`)
      if (committedOffset < 0n) continue
      found.set(`${partitionIndex} ${name}`, { offset: Number(committedOffset), metadata: metadata ?? '' })
    }
  }
  return places.map(({ topic, partition }) => found.get(`${partition} ${topic}`) ?? null)
}

/** The node that keeps the group; it moves when brokers come and go. */
export async function findCoordinator(cluster: Cluster, group: string): Promise<number> {
  const link = await cluster.anyLink()
  const { coordinators } = await link.call(cluster.library.findCoordinatorV4.api, GROUP_KEY, [group])
  const found = coordinators[0]
  if (found === undefined || found.errorCode !== 0) {
    throw new KafkaCodeError(found?.errorCode ?? -1, `Kafka has no coordinator for group '${group}' at the moment.`)
  }
  return found.nodeId
}

const GROUP_KEY = 0
