import type { listOffsetsV7 } from '@platformatic/kafka'
import type { FromTime } from '../broker.ts'
import { timeMsOf } from '../from-time.ts'
import type { Cluster } from './cluster.ts'
import { KafkaCodeError } from './kafka-error.ts'

const EARLIEST = -2n
const LATEST = -1n
const READ_COMMITTED = 1

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

type OffsetQuestion = 'earliest' | 'latest' | FromTime

/** Where partitions begin, end or reach a time, in the order given; one request to each node concerned. */
export async function listOffsets(
  cluster: Cluster,
  places: readonly TopicPartition[],
  which: OffsetQuestion,
): Promise<number[]> {
  if (which === 'earliest') return askOffsets(cluster, places, EARLIEST)
  if (which === 'latest') return askOffsets(cluster, places, LATEST)
  // Asked first: what is appended between the two questions then lies behind the end, and is not passed over.
  const ends = await askOffsets(cluster, places, LATEST)
  const reached = await askOffsets(cluster, places, BigInt(timeMsOf(which)))
  return reached.map((offset, index) => (offset === NONE_AS_LATE ? ends[index]! : offset))
}

/** What Kafka answers where every record is older than the time. */
const NONE_AS_LATE = -1

async function askOffsets(cluster: Cluster, places: readonly TopicPartition[], timestamp: bigint): Promise<number[]> {
  const perNode = Map.groupBy(places, ({ topic, partition }) => {
    const leader = cluster.leaderOf(topic, partition)
    if (leader === undefined) throw new Error(`Nobody leads ${topic}/${partition} at the moment.`)
    return leader
  })
  const offsets = new Map<string, number>()
  await Promise.all(
    [...perNode].map(async ([node, own]) => {
      const topics = [...Map.groupBy(own, ({ topic }) => topic)].map(([name, partitions]) => ({
        name,
        partitions: partitions.map(({ partition }) => ({
          partitionIndex: partition,
          currentLeaderEpoch: -1,
          timestamp,
        })),
      }))
      const answer = await cluster.link(node, 'ask').call(cluster.library.listOffsetsV7.api, -1, READ_COMMITTED, topics)
      collect(answer, offsets)
    }),
  )
  return places.map(({ topic, partition }) => offsets.get(`${partition} ${topic}`)!)
}

function collect(answer: listOffsetsV7.ListOffsetsResponse, offsets: Map<string, number>): void {
  for (const { name, partitions } of answer.topics) {
    for (const { partitionIndex, errorCode, offset } of partitions) {
      if (errorCode !== 0) throw new KafkaCodeError(errorCode, `Kafka could not tell the offsets of ${name}.`)
      offsets.set(`${partitionIndex} ${name}`, Number(offset))
    }
  }
}
