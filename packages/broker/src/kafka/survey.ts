import type { metadataV9 } from '@platformatic/kafka'
import { CODE, isRefusal, messageOf, responseIn } from './kafka-error.ts'
import { loadLibrary } from './library.ts'
import { Link } from './link.ts'
import { type Address, type KafkaBrokerOptions, resolveKafkaOptions } from './options.ts'

/** What one bootstrap address says of its cluster to whoever has these credentials. */
export type KafkaSurvey =
  | {
      readonly kind: 'answered'
      readonly address: Address
      /** Where it tells clients to go: the advertised listeners. */
      readonly nodes: readonly (Address & { readonly id: number })[]
      readonly topics: readonly SurveyedTopic[]
    }
  | {
      readonly kind: 'failed'
      readonly address: Address
      readonly why: string
      /** Of the credentials: waiting will not mend it. */
      readonly isRefusal: boolean
    }

export interface SurveyedTopic {
  readonly name: string
  readonly state: 'there' | 'missing' | 'forbidden' | 'unclear'
  readonly partitions: number
  /** Partitions that nobody leads now. */
  readonly leaderless: number
  /** Null where the brokers do not say. */
  readonly mayWrite: boolean | null
}

/** Asks each bootstrap address by itself, with a request that changes nothing. Never rejects for what it finds. */
export async function surveyKafka(given: KafkaBrokerOptions, topics: readonly string[]): Promise<KafkaSurvey[]> {
  const settings = resolveKafkaOptions(given)
  const library = await loadLibrary()
  return Promise.all(
    settings.bootstrap.map(async (address): Promise<KafkaSurvey> => {
      const link = new Link(library, settings, () => address, ASK_TIMEOUT_MS)
      try {
        const answer = await link
          .call(library.metadataV9.api, [...topics], false, true, false)
          .catch((error: unknown) => {
            const partly = responseIn<metadataV9.MetadataResponse>(error)
            if (partly === null) throw error
            return partly
          })
        const nodes = answer.brokers.map(({ nodeId, host, port }) => ({ id: nodeId, host, port }))
        return { kind: 'answered', address, nodes, topics: answer.topics.map(surveyed) }
      } catch (error) {
        return { kind: 'failed', address, why: messageOf(error), isRefusal: isRefusal(error) }
      } finally {
        link.close()
      }
    }),
  )
}

const ASK_TIMEOUT_MS = 5_000
/** Bits of what a client may do with a topic, by the number of each operation. */
const WRITE_BIT = 1 << 4
/** In place of the bits where the broker leaves them out. */
const NOT_SAID = -2_147_483_648

function surveyed(topic: metadataV9.MetadataResponse['topics'][number]): SurveyedTopic {
  const { name, errorCode, partitions, topicAuthorizedOperations: operations } = topic
  return {
    name: name ?? '',
    state:
      errorCode === CODE.NONE
        ? 'there'
        : errorCode === CODE.UNKNOWN_TOPIC_OR_PARTITION
          ? 'missing'
          : errorCode === CODE.TOPIC_AUTHORIZATION_FAILED
            ? 'forbidden'
            : 'unclear',
    partitions: partitions.length,
    leaderless: partitions.filter(({ leaderId }) => leaderId < 0).length,
    mayWrite: errorCode !== CODE.NONE || operations === NOT_SAID ? null : (operations & WRITE_BIT) !== 0,
  }
}
