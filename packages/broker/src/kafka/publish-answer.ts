import { CODE } from './kafka-error.ts'

/**
 * What Kafka's answer for one batch means:
 * - 'final': not appended, and asking again would be answered the same.
 * - 'sequence-lost': not appended; the broker has lost, or never had, our sequence, and a new one must begin.
 * - 'not-appended': not appended this time; worth another try.
 * - 'perhaps': appended or not; only the same batch at the same place may follow.
 */
export type ProduceAnswer = 'final' | 'sequence-lost' | 'not-appended' | 'perhaps'

/**
 * NOT_LEADER counts as 'perhaps': a broker also answers it when it lost the lead after it had appended, and the next
 * leader may have the batch.
 */
export function meaningOf(code: number): ProduceAnswer {
  return MEANINGS.get(code) ?? 'perhaps'
}

const MEANINGS: ReadonlyMap<number, ProduceAnswer> = new Map<number, ProduceAnswer>([
  [CODE.MESSAGE_TOO_LARGE, 'final'],
  [CODE.INVALID_TOPIC, 'final'],
  [CODE.RECORD_LIST_TOO_LARGE, 'final'],
  [CODE.TOPIC_AUTHORIZATION_FAILED, 'final'],
  [CODE.CLUSTER_AUTHORIZATION_FAILED, 'final'],
  [CODE.INVALID_TIMESTAMP, 'final'],
  [CODE.POLICY_VIOLATION, 'final'],
  [CODE.INVALID_RECORD, 'final'],
  [CODE.OUT_OF_ORDER_SEQUENCE, 'sequence-lost'],
  [CODE.DUPLICATE_SEQUENCE, 'sequence-lost'],
  [CODE.INVALID_PRODUCER_EPOCH, 'sequence-lost'],
  [CODE.UNKNOWN_PRODUCER_ID, 'sequence-lost'],
  [CODE.NOT_ENOUGH_REPLICAS, 'not-appended'],
  [CODE.UNKNOWN_TOPIC_OR_PARTITION, 'not-appended'],
])
