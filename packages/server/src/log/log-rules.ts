import type { Broker } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { badField } from '../accept/grpc-fields.ts'
import type { QueueOptions } from '../options.ts'
import { CLUSTER_TOPIC, CONTROL_TOPIC, deadTopic, RESULTS_TOPIC, taskTopic } from '../topics.ts'

/** Topics that one call may name. */
export const TOPICS_MAX = 1_000
/** Bytes of a topic's name, as Kafka takes them, and of a group's. */
export const NAME_BYTES_MAX = 249

/** What other processes may touch of the log; each method throws the refusal. */
export interface LogRules {
  checkTopic(topic: string): void
  /** At least one. */
  checkTopics(topics: readonly string[]): void
  checkGroup(group: string): void
}

/**
 * Everything but what carries tasks: a record that somebody else writes there, or a position that somebody else moves,
 * would break promises that the server has given. Operators are no exception, for whom there are other doors.
 */
export function logRules(queues: Iterable<QueueOptions>): LogRules {
  const reserved = new Map<string, string>([
    [RESULTS_TOPIC, 'is where this server keeps what became of tasks'],
    [CONTROL_TOPIC, 'is how servers tell each other of cancellations'],
    [CLUSTER_TOPIC, 'holds the secrets of the servers'],
  ])
  for (const { name, topic, resultTopic } of queues) {
    reserved.set(topic, `belongs to the queue ${name}`)
    reserved.set(deadTopic(topic), `belongs to the queue ${name}`)
    if (resultTopic !== null) reserved.set(resultTopic, `belongs to the queue ${name}`)
  }

  function checkTopic(topic: string): void {
    if (!TOPIC_NAME.test(topic) || topic === '.' || topic === '..') {
      const shown = topic.slice(0, NAME_BYTES_MAX)
      throw badField('topic', `'${shown}' is no topic: use 1 to ${NAME_BYTES_MAX} letters, digits, ".", "_" and "-".`)
    }
    const why = reserved.get(topic) ?? (topic.startsWith(TASK_TOPICS) ? 'belongs to a queue' : undefined)
    if (why !== undefined) throw forbidden('topic', topic, why)
    if (topic.startsWith(KAFKA_TOPICS)) throw forbidden('topic', topic, 'belongs to Kafka')
  }

  return {
    checkTopic,
    checkTopics(topics) {
      if (topics.length === 0 || topics.length > TOPICS_MAX) {
        throw badField('topics', `topics has ${topics.length} names; give 1 to ${TOPICS_MAX}.`)
      }
      for (const topic of topics) checkTopic(topic)
    },
    checkGroup(group) {
      if (group === '' || Buffer.byteLength(group) > NAME_BYTES_MAX) {
        throw badField('group', `group must have 1 to ${NAME_BYTES_MAX} bytes.`)
      }
      if (group.startsWith(OWN_GROUPS)) throw forbidden('group', group, 'is one of the servers themselves')
    },
  }
}

/** Kafka would wait for a topic that is not there; whoever reads it had better hear of that. */
export async function mustExist(broker: Broker, topics: readonly string[]): Promise<void> {
  const there = new Set((await broker.inspect({ topics })).map(({ topic }) => topic))
  const absent = topics.find((topic) => !there.has(topic))
  if (absent !== undefined) throw badField('topic', `topic: ${absent} does not exist; name it when opening the broker.`)
}

const TOPIC_NAME = /^[A-Za-z0-9._-]{1,249}$/
/** Also those of queues that other servers have, or that were taken out of the configuration. */
const TASK_TOPICS = taskTopic('')
const KAFKA_TOPICS = '__'
const OWN_GROUPS = 'forebay.'

function forbidden(field: 'topic' | 'group', name: string, why: string): ForebayError {
  return new ForebayError('FORBIDDEN', `The ${field} ${name} ${why}: nobody may touch it by forebay.log.v1.`, {
    members: { field, [field]: name },
  })
}
