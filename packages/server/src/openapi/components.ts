import { IDEMPOTENCY_KEY_CHARACTERS_MAX } from '../accept/idempotency.ts'
import { KEY_BYTES_MAX } from '../accept/ordering-key.ts'
import { DELAY_MAX_MS } from '../accept/timing.ts'
import { PRIORITY_DEFAULT, PRIORITY_MAX } from '../task.ts'
import { type Json, schema } from './json.ts'

/** What the operations share: header parameters, headers of answers, and the shapes of a task. */

export function parameters(waitMaxMs: number, retentionMs: number): Record<string, Json> {
  const idempotencyKey = inHeader(
    'Idempotency-Key',
    'The same key and the same request lead to the same task: makes it safe to send a request again whose answer was lost.',
    { type: 'string', minLength: 1, maxLength: IDEMPOTENCY_KEY_CHARACTERS_MAX, pattern: '^[\\x21-\\x7e]+$' },
  )
  const key = inHeader(
    'Forebay-Key',
    `Ordering key, 1 to ${KEY_BYTES_MAX} bytes of UTF-8; goes before the queue's own source of keys.`,
    { type: 'string', minLength: 1, maxLength: KEY_BYTES_MAX },
  )
  return {
    TaskId: {
      name: 'id',
      in: 'path',
      required: true,
      schema: { type: 'string' },
      description: 'As it was answered with 202.',
    },
    Prefer: inHeader(
      'Prefer',
      `\`wait=5\` waits so many seconds for the end of the task, at most ${waitMaxMs / 1_000}.`,
      {
        type: 'string',
        examples: ['wait=5'],
      },
    ),
    IdempotencyKey: idempotencyKey,
    IdempotencyKeyRequired: { ...idempotencyKey, required: true },
    Key: key,
    KeyRequired: { ...key, required: true, example: 'key-7' },
    Delay: inHeader(
      'Forebay-Delay',
      `No attempt begins before this has passed, at most ${DELAY_MAX_MS / 86_400_000} days.`,
      DURATION,
    ),
    NotBefore: inHeader(
      'Forebay-Not-Before',
      'The same as a moment: RFC 3339, or a date as HTTP writes it. Not together with Forebay-Delay.',
      {
        type: 'string',
        examples: ['2026-05-01T08:30:00Z'],
      },
    ),
    Deadline: inHeader(
      'Forebay-Deadline',
      `How long the task may take from now to its end; at most ${retentionMs / 1_000} s after its delay. Default: the queue's own.`,
      DURATION,
    ),
    Priority: inHeader('Forebay-Priority', 'Of the tasks that are ready on a queue, higher ones go first.', {
      type: 'integer',
      minimum: 0,
      maximum: PRIORITY_MAX,
      default: PRIORITY_DEFAULT,
    }),
    Callback: inHeader('Forebay-Callback', 'A URL that is called with the result once the task has ended.', {
      type: 'string',
      format: 'uri',
    }),
    Traceparent: inHeader('traceparent', 'W3C trace context, handed on to workers and targets.', { type: 'string' }),
    LastEventId: inHeader(
      'Last-Event-ID',
      'The last `id` that was seen: what comes is what follows it, on any gateway.',
      { type: 'string' },
    ),
  }
}

export const HEADERS: Record<string, Json> = {
  Location: answered('Where the task is: /v1/tasks/{id}.', { type: 'string' }),
  RetryAfter: answered('Seconds after which asking again makes sense.', { type: 'integer' }),
  Authenticate: answered('Bearer realm="forebay"', { type: 'string' }),
  PreferenceApplied: answered('The wait that was kept to, as `wait=5`.', { type: 'string' }),
  IdempotentReplayed: answered('`true` when an earlier request with this key made the task.', { type: 'string' }),
  IdempotencyExpires: answered('Until when the key stands for its task.', { type: 'string' }),
  TaskId: answered('The id of the task.', { type: 'string' }),
  TaskState: answered('The state that it ended in.', { type: 'string' }),
  ETag: answered('Names this version; send it back in If-None-Match.', { type: 'string' }),
}

const DURATION = {
  type: 'string',
  description: 'Plain seconds, or with a unit: 500ms, 90s, 10m, 2h, 7d.',
  examples: ['90s'],
}
const MOMENT = { type: 'string', format: 'date-time' }

export const TASK_SCHEMAS: Record<string, Json> = {
  Accepted: {
    type: 'object',
    description: 'The task is kept.',
    required: ['id', 'queue', 'state', 'acceptedAt', 'links'],
    properties: {
      id: { type: 'string' },
      queue: { type: 'string' },
      state: { type: 'string', enum: ['pending'] },
      acceptedAt: MOMENT,
      links: schema('Links'),
    },
  },
  Task: {
    type: 'object',
    description: 'How a task stands.',
    required: ['id', 'queue', 'state', 'attempts', 'acceptedAt', 'links'],
    properties: {
      id: { type: 'string' },
      queue: { type: 'string' },
      state: schema('TaskState'),
      attempts: { type: 'integer', minimum: 0, description: 'Known to have ended or to be under way.' },
      generation: {
        type: 'integer',
        minimum: 1,
        description: 'How often an operator has redriven it; absent where never.',
      },
      acceptedAt: MOMENT,
      finishedAt: { ...MOMENT, description: 'Once it has ended.' },
      problem: { ...schema('Problem'), description: 'Why it ended so, or why its last attempt failed.' },
      links: schema('Links'),
    },
  },
  TaskState: {
    type: 'string',
    enum: ['pending', 'running', 'retrying', 'parked', 'succeeded', 'failed', 'dead', 'cancelled', 'expired'],
    description: 'The last five are ends.',
  },
  Links: {
    type: 'object',
    required: ['self', 'result'],
    properties: { self: { type: 'string' }, result: { type: 'string' } },
  },
  Readiness: {
    type: 'object',
    required: ['ready', 'profile', 'reasons'],
    properties: {
      ready: { type: 'boolean' },
      profile: {
        type: 'string',
        enum: ['embedded', 'replicated', 'fsync'],
        description: 'What an acknowledgement survives.',
      },
      reasons: { type: 'array', items: { type: 'string' }, description: 'Why it is not ready.' },
    },
  },
}

function inHeader(name: string, description: string, of: Json): Json {
  return { name, in: 'header', required: false, description, schema: of }
}

function answered(description: string, of: Json): Json {
  return { description, schema: of }
}
