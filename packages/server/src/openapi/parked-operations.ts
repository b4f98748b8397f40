import { PARKED_PAGE_DEFAULT, PARKED_PAGE_MAX } from '../accept/admin-parked.ts'
import { type Json, jsonContent, schema } from './json.ts'
import type { Operations } from './operation.ts'
import { inPath, inQuery, OPERATOR_CODES } from './operator-parameters.ts'
import { problemAnswers } from './problems.ts'
import { anyBody } from './queue-operations.ts'

const ONE = '/v1/admin/queues/{queue}/parked/{task}'
const NAMED = [inPath('queue', 'The name of a queue.'), inPath('task', 'The id of a parked task.')]

/** What operators see of parked tasks, and what they can do with one. */
export const PARKED_OPERATIONS: Operations = {
  'GET /v1/admin/parked': () => ({
    ...about('listParked', 'Parked tasks, newest first'),
    parameters: [
      inQuery('queue', { type: 'string' }),
      inQuery('key', { type: 'string' }),
      inQuery('reason', schema('ParkedReason')),
      inQuery('limit', { type: 'integer', minimum: 1, maximum: PARKED_PAGE_MAX, default: PARKED_PAGE_DEFAULT }),
      inQuery('after', { type: 'string' }, 'The `next` of the page before.'),
    ],
    responses: {
      200: { description: 'A page of them.', content: jsonContent(schema('ParkedPage')) },
      ...refusals(),
    },
  }),
  [`GET ${ONE}`]: () => ({
    ...about('getParked', 'One parked task whole'),
    parameters: NAMED,
    responses: {
      200: { description: 'With its body, as text or in base64.', content: jsonContent(schema('ParkedTask')) },
      ...refusals(),
    },
  }),
  [`POST ${ONE}/retry`]: () => wish('retryParked', 'Gives a parked task one more attempt, now'),
  [`POST ${ONE}/release`]: () => wish('releaseParked', 'Lets a parked task run as if it were new'),
  [`POST ${ONE}/skip`]: () =>
    wish('skipParked', 'Gives a parked task up: it ends dead, and the next one of its key goes on'),
  [`PUT ${ONE}/body`]: () => ({
    ...about('editParked', 'Puts another body in the place of that of a parked task'),
    parameters: NAMED,
    requestBody: { required: true, content: anyBody() },
    responses: {
      200: {
        description: 'It has the new body.',
        content: jsonContent({
          type: 'object',
          required: ['id', 'queue', 'bytes'],
          properties: { id: { type: 'string' }, queue: { type: 'string' }, bytes: { type: 'integer' } },
        }),
      },
      ...refusals('PARKED_BUSY', 'TASK_TOO_LARGE', 'SCHEMA_MISMATCH', 'MALFORMED_JSON'),
    },
  }),
}

const WISHES = ['retry', 'release', 'skip']
const MOMENT = { type: 'string', format: 'date-time' }

const SUMMARY: Json = {
  id: { type: 'string' },
  queue: { type: 'string' },
  key: { type: ['string', 'null'] },
  owner: { type: 'string' },
  reason: schema('ParkedReason'),
  attempts: { type: 'integer' },
  losses: { type: 'integer' },
  fault: {
    type: ['object', 'null'],
    properties: { code: { type: 'string' }, detail: { type: 'string' } },
    description: 'Why its last attempt failed.',
  },
  parkedAt: MOMENT,
  dueAt: { type: ['string', 'null'], format: 'date-time' },
  deadlineAt: MOMENT,
  wish: { oneOf: [{ type: 'string', enum: WISHES }, { type: 'null' }] },
  partition: { type: 'integer' },
  offset: { type: 'integer' },
  bytes: { type: 'integer' },
}

export const PARKED_SCHEMAS: Record<string, Json> = {
  ParkedReason: {
    type: 'string',
    enum: ['delayed', 'backoff', 'behind', 'blocking', 'exhausted'],
    description: 'Why it waits.',
  },
  ParkedSummary: { type: 'object', required: ['id', 'queue', 'reason'], properties: SUMMARY },
  ParkedTask: {
    type: 'object',
    required: ['id', 'queue', 'reason'],
    properties: {
      ...SUMMARY,
      contentType: { type: 'string' },
      body: { type: 'string', description: 'Where it is UTF-8.' },
      bodyBase64: { type: 'string', description: 'Where it is not.' },
      blob: { type: 'string', description: 'Where a large one is kept.' },
    },
  },
  ParkedPage: {
    type: 'object',
    required: ['parked', 'total', 'next'],
    properties: {
      parked: { type: 'array', items: schema('ParkedSummary') },
      total: { type: 'integer' },
      next: { type: ['string', 'null'], description: 'Send it as `after`.' },
    },
  },
}

function wish(operationId: string, summary: string): Json {
  return {
    ...about(operationId, summary),
    description: 'Carried out by the dispatcher that owns the task, soon after.',
    parameters: NAMED,
    responses: {
      202: {
        description: 'The wish is kept.',
        content: jsonContent({
          type: 'object',
          required: ['id', 'queue', 'wish'],
          properties: { id: { type: 'string' }, queue: { type: 'string' }, wish: { type: 'string', enum: WISHES } },
        }),
      },
      ...refusals('PARKED_BUSY'),
    },
  }
}

function about(operationId: string, summary: string): Json {
  return { operationId, tags: ['operators'], summary }
}

function refusals(...codes: Parameters<typeof problemAnswers>): Json {
  return problemAnswers(
    ...OPERATOR_CODES,
    'QUEUE_NOT_FOUND',
    'PARKED_NOT_FOUND',
    'PARKING_UNAVAILABLE',
    'STORE_UNAVAILABLE',
    ...codes,
  )
}
