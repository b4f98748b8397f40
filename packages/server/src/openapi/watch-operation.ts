import { type Json, parameter, schema } from './json.ts'
import type { Operations } from './operation.ts'
import { inQuery } from './operator-parameters.ts'
import { problemAnswers } from './problems.ts'
import { READ_CODES } from './task-operations.ts'

/** Following tasks: one by Server-Sent Events, many over a WebSocket. */
export const WATCH_OPERATIONS: Operations = {
  'GET /v1/tasks/{id}/events': () => ({
    operationId: 'watchTask',
    tags: ['tasks'],
    summary: 'Follows a task: how it stands, what it says while it runs, and how it ends',
    description:
      'Each event has a name (`event:`) and an object (`data:`, one line of JSON), as in the schema TaskEvent. A comment comes ' +
      'while nothing happens. After a `result` there is nothing more. Whoever comes back with the last id that it saw, here ' +
      'or to another gateway, gets what follows it.',
    parameters: [
      parameter('TaskId'),
      parameter('LastEventId'),
      inQuery('lastEventId', { type: 'string' }, 'The same, for readers who cannot set headers.'),
    ],
    responses: {
      200: {
        description: 'The stream; an object in it has the shape of TaskEvent.',
        content: { 'text/event-stream': { schema: { type: 'string', description: 'Events of the shape TaskEvent.' } } },
      },
      204: { description: 'The end has been seen: do not come back.' },
      ...problemAnswers(...READ_CODES, 'NOT_ACCEPTABLE', 'OVERLOADED'),
    },
  }),
  'GET /v1/stream': () => ({
    operationId: 'openStream',
    tags: ['tasks'],
    summary: 'A WebSocket over which many tasks are handed in and followed',
    description:
      'The handshake of WebSocket, version 13, with the sub-protocol `forebay.v1`; messages are objects in JSON. Browsers, ' +
      'which cannot set headers, offer `bearer.` and the access key in base64url as a second sub-protocol.',
    parameters: [
      handshake('Upgrade', { type: 'string', examples: ['websocket'] }),
      handshake('Sec-WebSocket-Version', { type: 'string', examples: ['13'] }),
      handshake('Sec-WebSocket-Key', { type: 'string' }),
      handshake('Sec-WebSocket-Protocol', { type: 'string', examples: ['forebay.v1'] }),
    ],
    responses: {
      101: { description: 'Messages from here on.' },
      ...problemAnswers('UPGRADE_REQUIRED', 'UNAUTHENTICATED', 'FORBIDDEN', 'OVERLOADED', 'STOPPING'),
    },
  }),
}

function handshake(name: string, of: Json): Json {
  return { name, in: 'header', required: true, schema: of }
}

const ATTEMPT = { type: 'integer', description: 'The attempt that says so.' }
const BODY: Json = {
  contentType: { type: ['string', 'null'] },
  text: { type: 'string', description: 'Where it is UTF-8.' },
  base64: { type: 'string', description: 'Where it is not.' },
}

export const EVENT_SCHEMAS: Record<string, Json> = {
  TaskEvent: {
    description: 'What the stream of a task says.',
    oneOf: ['State', 'Restart', 'Chunk', 'Progress', 'Result'].map((name) => schema(`${name}Event`)),
  },
  StateEvent: event('state', 'How the task stands: first of all, and whenever that changes.', schema('Task'), false),
  RestartEvent: event(
    'restart',
    'Another attempt begins to speak: chunks and progress before it are void.',
    {
      type: 'object',
      required: ['attempt', 'generation'],
      properties: { attempt: ATTEMPT, generation: { type: 'integer' } },
    },
    false,
  ),
  ChunkEvent: event(
    'chunk',
    'A piece of the answer of an attempt under way.',
    {
      type: 'object',
      required: ['attempt', 'chunk', 'contentType'],
      properties: { attempt: ATTEMPT, chunk: { type: 'integer', minimum: 1, description: 'Grows by 1.' }, ...BODY },
    },
    true,
  ),
  ProgressEvent: event(
    'progress',
    'How far an attempt is.',
    {
      type: 'object',
      required: ['attempt', 'fraction', 'message'],
      properties: {
        attempt: ATTEMPT,
        fraction: { type: ['number', 'null'], minimum: 0, maximum: 1 },
        message: { type: 'string' },
      },
    },
    true,
  ),
  ResultEvent: event(
    'result',
    'How the task ended; the last event.',
    {
      allOf: [
        schema('Task'),
        {
          type: 'object',
          properties: {
            result: {
              type: 'object',
              required: ['contentType'],
              properties: BODY,
              description: 'Of a task that succeeded, where it is small; else it is behind `links.result`.',
            },
          },
        },
      ],
    },
    true,
  ),
}

function event(name: string, description: string, data: Json, placed: boolean): Json {
  return {
    type: 'object',
    description,
    required: ['event', 'data', ...(placed ? ['id'] : [])],
    properties: {
      event: { type: 'string', const: name },
      ...(placed ? { id: { type: 'string', description: 'Send it back as Last-Event-ID.' } } : {}),
      data,
    },
  }
}
