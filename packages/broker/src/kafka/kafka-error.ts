import { ForebayError } from '@forebay/protocol'

/** Codes of Kafka's protocol that this adapter treats apart. */
export const CODE = {
  NONE: 0,
  OFFSET_OUT_OF_RANGE: 1,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  REQUEST_TIMED_OUT: 7,
  MESSAGE_TOO_LARGE: 10,
  OFFSET_METADATA_TOO_LARGE: 12,
  INVALID_TOPIC: 17,
  RECORD_LIST_TOO_LARGE: 18,
  NOT_ENOUGH_REPLICAS: 19,
  ILLEGAL_GENERATION: 22,
  UNKNOWN_MEMBER_ID: 25,
  REBALANCE_IN_PROGRESS: 27,
  TOPIC_AUTHORIZATION_FAILED: 29,
  GROUP_AUTHORIZATION_FAILED: 30,
  CLUSTER_AUTHORIZATION_FAILED: 31,
  INVALID_TIMESTAMP: 32,
  UNSUPPORTED_SASL_MECHANISM: 33,
  TOPIC_ALREADY_EXISTS: 36,
  POLICY_VIOLATION: 44,
  OUT_OF_ORDER_SEQUENCE: 45,
  DUPLICATE_SEQUENCE: 46,
  INVALID_PRODUCER_EPOCH: 47,
  SASL_AUTHENTICATION_FAILED: 58,
  UNKNOWN_PRODUCER_ID: 59,
  FETCH_SESSION_ID_NOT_FOUND: 70,
  INVALID_FETCH_SESSION_EPOCH: 71,
  MEMBER_ID_REQUIRED: 79,
  FENCED_INSTANCE_ID: 82,
  INVALID_RECORD: 87,
  FETCH_SESSION_TOPIC_ID_ERROR: 106,
} as const

/** What Kafka answered, as a cause to keep. */
export class KafkaCodeError extends Error {
  readonly kafkaCode: number

  constructor(code: number, message: string) {
    super(message)
    this.name = 'KafkaCodeError'
    this.kafkaCode = code
  }
}

/** The first of Kafka's error codes in what the library threw; null when no broker said it (network, time). */
export function codeOf(thrown: unknown): number | null {
  if (thrown instanceof KafkaCodeError) return thrown.kafkaCode
  if (typeof thrown !== 'object' || thrown === null) return null
  if ('apiCode' in thrown && typeof thrown.apiCode === 'number') return thrown.apiCode
  if (!('errors' in thrown) || !Array.isArray(thrown.errors)) return null
  for (const error of thrown.errors) {
    const code = codeOf(error)
    if (code !== null) return code
  }
  return null
}

/** The answer that the library threw away for holding an error code somewhere. */
export function responseIn<Response>(thrown: unknown): Response | null {
  if (typeof thrown !== 'object' || thrown === null || !('response' in thrown)) return null
  return (thrown.response as Response) ?? null
}

/** Whether whom we talk to, or who we are, was not accepted: waiting will not mend that. */
export function isRefusal(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false
  const kafkaCode = codeOf(thrown)
  if (kafkaCode === CODE.UNSUPPORTED_SASL_MECHANISM || kafkaCode === CODE.SASL_AUTHENTICATION_FAILED) return true
  if ('code' in thrown && typeof thrown.code === 'string' && UNTRUSTED.test(thrown.code)) return true
  return isRefusal(thrown.cause) || isRefusal(firstOf(thrown))
}

/** Codes of OpenSSL and Node for certificates. */
const UNTRUSTED = /^(ERR_TLS_CERT_ALTNAME_INVALID|CERT_.+|.*SELF_SIGNED_CERT.*|UNABLE_TO_(GET|VERIFY)_.+)$/

export function messageOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  if (thrown instanceof ForebayError) return thrown.message
  const deeper = thrown.cause instanceof Error ? thrown.cause : firstOf(thrown)
  return deeper === null ? thrown.message : `${thrown.message} ${messageOf(deeper)}`
}

function firstOf(thrown: Error): Error | null {
  if (!('errors' in thrown) || !Array.isArray(thrown.errors)) return null
  return thrown.errors[0] instanceof Error ? thrown.errors[0] : null
}
