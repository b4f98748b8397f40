import { RESULT_BESIDE_TASK_BYTES_MAX } from '../body-text.ts'
import { CALLBACK_ATTEMPTS_KEPT, CALLBACKS_PER_TASK_MAX } from '../store/callbacks.ts'
import { header, type Json, jsonContent, parameter, schema } from './json.ts'
import type { Operations } from './operation.ts'
import { problemAnswers } from './problems.ts'
import { READ_CODES } from './task-operations.ts'

/** Being called when a task has ended: asking for it, what became of it, and the call itself. */
export const CALLBACK_OPERATIONS: Operations = {
  'POST /v1/tasks/{id}/callbacks': () => ({
    operationId: 'addCallback',
    tags: ['callbacks'],
    summary: 'Asks to be called when a task has ended',
    description: `At most ${CALLBACKS_PER_TASK_MAX} for a task; the same URL twice is one callback. If the task has ended, the call is made at once.`,
    parameters: [parameter('TaskId')],
    requestBody: {
      required: true,
      content: { 'application/json': { schema: schema('CallbackRequest'), example: REQUEST } },
    },
    responses: {
      201: {
        description: 'The callback is kept, now or before.',
        headers: { Location: header('Location') },
        content: jsonContent(schema('Callback')),
      },
      ...problemAnswers(
        ...READ_CODES,
        'MALFORMED_JSON',
        'TASK_TOO_LARGE',
        'CALLBACK_REFUSED',
        'CALLBACK_UNAVAILABLE',
        'OVERLOADED',
      ),
    },
  }),
  'GET /v1/tasks/{id}/callbacks': () => ({
    operationId: 'listCallbacks',
    tags: ['callbacks'],
    summary: 'What became of the callbacks of a task',
    parameters: [parameter('TaskId')],
    responses: {
      200: {
        description: `Each with its last ${CALLBACK_ATTEMPTS_KEPT} tries.`,
        content: jsonContent({
          type: 'object',
          required: ['callbacks'],
          properties: { callbacks: { type: 'array', items: schema('Callback') } },
        }),
      },
      ...problemAnswers(...READ_CODES, 'CALLBACK_UNAVAILABLE'),
    },
  }),
}

const REQUEST = { url: 'https://example.com/forebay' }

/** What a receiver is sent; not an operation of this server. */
export const WEBHOOKS: Record<string, Json> = {
  taskEnded: {
    post: {
      operationId: 'taskEnded',
      tags: ['callbacks'],
      summary: 'A task has ended',
      description:
        'Sent to the URL of a callback, signed as Standard Webhooks has it, and again after growing pauses until it is ' +
        'answered with 2xx. 410 disables the URL; Retry-After is honoured; redirects are not followed.',
      security: [],
      parameters: [
        sent('webhook-id', 'Names the callback; the same at each try.', 'string'),
        sent('webhook-timestamp', 'When this try was made, in seconds since 1970.', 'integer'),
        sent(
          'webhook-signature',
          '`v1,` and the signature in base64; several, with blanks between, while secrets are changed.',
          'string',
        ),
      ],
      requestBody: { required: true, content: jsonContent(schema('TaskEnded')) },
      responses: {
        '2XX': { description: 'Taken; it is not sent again.' },
        410: { description: 'Nothing more is wanted at this URL.' },
        default: { description: 'Not taken; it is sent again later.' },
      },
    },
  },
}

const STATES = ['waiting', 'due', 'delivered', 'given-up', 'disabled']
const ENDS = ['succeeded', 'failed', 'dead', 'cancelled', 'expired']
const MOMENT = { type: 'string', format: 'date-time' }

export const CALLBACK_SCHEMAS: Record<string, Json> = {
  CallbackRequest: {
    type: 'object',
    required: ['url'],
    properties: { url: { type: 'string', format: 'uri' } },
    additionalProperties: false,
  },
  Callback: {
    type: 'object',
    required: ['id', 'task', 'queue', 'url', 'state', 'tries', 'nextAt', 'changedAt', 'taskState', 'attempts'],
    properties: {
      id: { type: 'string', description: 'The webhook-id of each try.' },
      task: { type: 'string' },
      queue: { type: 'string' },
      url: { type: 'string' },
      state: {
        type: 'string',
        enum: STATES,
        description: '`waiting`: the task has not ended. `due`: a call is to be made.',
      },
      tries: { type: 'integer' },
      nextAt: { type: ['string', 'null'], format: 'date-time' },
      changedAt: MOMENT,
      taskState: { oneOf: [{ type: 'string', enum: ENDS }, { type: 'null' }], description: 'How the task ended.' },
      attempts: { type: 'array', items: schema('CallbackAttempt') },
    },
  },
  CallbackAttempt: {
    type: 'object',
    required: ['at', 'durationMs', 'status', 'detail'],
    properties: {
      at: MOMENT,
      durationMs: { type: 'integer' },
      status: { type: ['integer', 'null'], description: 'HTTP status; null where no answer came.' },
      detail: { type: ['string', 'null'], description: 'Why it failed.' },
    },
  },
  TaskEnded: {
    type: 'object',
    required: ['type', 'timestamp', 'data'],
    properties: {
      type: { type: 'string', enum: ENDS.map((state) => `task.${state}`) },
      timestamp: { ...MOMENT, description: 'When the task ended.' },
      data: {
        allOf: [
          schema('Task'),
          {
            type: 'object',
            properties: { result: { ...schema('SentResult'), description: 'Of a task that succeeded.' } },
          },
        ],
      },
    },
  },
  SentResult: {
    type: 'object',
    description: `The result itself up to ${RESULT_BESIDE_TASK_BYTES_MAX} bytes, a link to it beyond.`,
    required: ['contentType'],
    properties: {
      contentType: { type: 'string' },
      text: { type: 'string', description: 'Where it is UTF-8.' },
      base64: { type: 'string', description: 'Where it is not.' },
      bytes: { type: 'integer', description: 'With `link`: how large it is.' },
      link: { type: 'string' },
    },
  },
}

function sent(name: string, description: string, type: string): Json {
  return { name, in: 'header', required: true, description, schema: { type } }
}
