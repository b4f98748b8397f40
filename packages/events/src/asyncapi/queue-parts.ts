import { cloudEventHeaders, ORDERING_KEY } from './event-message.ts'
import { type Json, MESSAGES_AT, pointerText, ref, SCHEMAS_AT } from './json.ts'
import { jsonPayload } from './payload-schema.ts'

/** What a document says of a task queue; the server's own options of a queue are such. */
export interface AsyncApiQueue {
  readonly name: string
  readonly topic: string
  /** Where copies of its results go; null: results are asked for at the gateway. */
  readonly resultTopic: string | null
  /** JSON Schema of bodies; null: any bytes. */
  readonly schema: object | null
  readonly partitions: number
}

interface QueueParts {
  readonly channels: Json
  readonly messages: Json
  readonly schemas: Json
  readonly operations: Json
}

/**
 * A task is a request on the topic of its queue, and its result the reply on the queue's result topic (docs/records.md):
 * `ce_id` of the request is `ce_subject` of the reply.
 */
export function queueParts(queues: Iterable<AsyncApiQueue>): QueueParts {
  const channels: Record<string, ReturnType<typeof channel>> = {}
  const messages: Record<string, Json> = {}
  const schemas: Record<string, unknown> = {}
  const operations: Record<string, Json> = {}
  for (const queue of queues) {
    const { name, topic, resultTopic, schema } = queue
    const request = `${name}.task`
    if (schema !== null) schemas[request] = jsonPayload(schema, request)
    messages[request] = task(queue, request)
    channels[topic] = channel(topic, `Tasks of the queue ${name}.`, queue.partitions)
    channels[topic].messages[request] = ref(MESSAGES_AT, request)
    if (resultTopic !== null) {
      schemas[PROBLEM_NAME] = PROBLEM
      channels[resultTopic] ??= channel(resultTopic, 'Results of tasks: at least once, told apart by ce_id.')
      for (const [kind, message] of [
        [`${name}.succeeded`, succeeded(name)],
        [`${name}.ended`, ended(name)],
      ] as const) {
        messages[kind] = message
        channels[resultTopic].messages[kind] = ref(MESSAGES_AT, kind)
      }
    }
    operations[`queue.${name}`] = {
      action: 'receive',
      channel: ref('#/channels', topic),
      title: `Tasks of ${name}`,
      tags: [{ name: 'queues' }],
      messages: [messageOf(topic, request)],
      ...(resultTopic === null ? {} : { reply: reply(name, resultTopic) }),
    }
  }
  return { channels, messages, schemas, operations }
}

function channel(topic: string, description: string, partitions?: number) {
  const kafka = { topic, ...(partitions === undefined ? {} : { partitions }), bindingVersion: '0.5.0' }
  return { address: topic, description, messages: {} as Record<string, Json>, bindings: { kafka } }
}

function messageOf(topic: string, message: string): Json {
  return { $ref: `#/channels/${pointerText(topic)}/messages/${pointerText(message)}` }
}

function reply(queue: string, resultTopic: string): Json {
  return {
    channel: ref('#/channels', resultTopic),
    messages: [messageOf(resultTopic, `${queue}.succeeded`), messageOf(resultTopic, `${queue}.ended`)],
  }
}

function task({ name, schema, resultTopic }: AsyncApiQueue, request: string): Json {
  const asked = resultTopic === null ? ' Its result is asked for at the gateway: GET /v1/tasks/{id}.' : ''
  return {
    name: 'forebay.task',
    title: `A task of ${name}`,
    summary: `The value is the body that the worker gets.${asked}`,
    ...(schema === null ? {} : { contentType: 'application/json', payload: ref(SCHEMAS_AT, request) }),
    headers: cloudEventHeaders({
      ce_type: { const: 'forebay.task' },
      ce_source: { const: `/forebay/queues/${name}` },
      ce_id: { description: 'The id of the task.' },
    }),
    correlationId: { location: '$message.header#/ce_id', description: 'The id of the task.' },
    bindings: { kafka: { key: ORDERING_KEY, bindingVersion: '0.5.0' } },
  }
}

function succeeded(queue: string): Json {
  return result(queue, 'The answer of the worker, its own bytes.', ['succeeded'])
}

function ended(queue: string): Json {
  return {
    ...result(queue, 'The task did not succeed: the problem that a caller who waits is told.', [
      'failed',
      'dead',
      'cancelled',
      'expired',
    ]),
    contentType: 'application/problem+json',
    payload: ref(SCHEMAS_AT, PROBLEM_NAME),
  }
}

function result(queue: string, summary: string, states: readonly string[]): Json {
  return {
    name: states.length === 1 ? 'forebay.task.succeeded' : 'forebay.task.ended',
    title: `Result of a task of ${queue}`,
    summary,
    headers: cloudEventHeaders({
      ce_type: { enum: states.map((state) => `forebay.task.${state}`) },
      ce_source: { const: `/forebay/queues/${queue}` },
      ce_subject: { description: 'The id of the task.' },
      'fb-state': { enum: states },
    }),
    correlationId: { location: '$message.header#/ce_subject', description: 'The id of the task.' },
    bindings: { kafka: { key: ORDERING_KEY, bindingVersion: '0.5.0' } },
  }
}

const PROBLEM_NAME = 'forebay.problem'
const PROBLEM = {
  type: 'object',
  description: 'RFC 9457; code is one of docs/errors.md.',
  required: ['title', 'status', 'code'],
  properties: {
    type: { type: 'string', format: 'uri-reference' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string' },
    retryable: { type: 'boolean' },
  },
}
