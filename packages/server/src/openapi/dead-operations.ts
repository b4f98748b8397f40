import { LIST_DEFAULT, LIST_MAX } from '../dead/read-request.ts'
import { REDRIVE_RATE_DEFAULT, REDRIVE_RATE_MAX } from '../dead/redrive.ts'
import { type Json, jsonContent, schema } from './json.ts'
import type { Operations } from './operation.ts'
import { inPath, inQuery, OPERATOR_CODES } from './operator-parameters.ts'
import { problemAnswers } from './problems.ts'
import { anyBody } from './queue-operations.ts'

const ONE = '/v1/admin/dead/{queue}/{partition}/{offset}'

/** What operators see of dead letters, and what they can do with them. */
export const DEAD_OPERATIONS: Operations = {
  'GET /v1/admin/dead': () => ({
    ...about('listDead', 'Dead letters, newest first'),
    parameters: [...inQueries(FILTER), inQuery('state', STATE), inQuery('limit', LIMIT)],
    responses: { 200: found('The newest of them.', list('letters', schema('DeadLetter'), true)), ...refusals() },
  }),
  'GET /v1/admin/dead/histogram': () => ({
    ...about('countDead', 'How many died in each hour, by error code'),
    parameters: [...inQueries(FILTER), inQuery('state', STATE)],
    responses: {
      200: found('By hour, of the last seven days unless `since` says otherwise.', HISTOGRAM),
      ...refusals(),
    },
  }),
  'GET /v1/admin/dead/audit': () => ({
    ...about('listVerdicts', 'Who redrove and discarded what, when and why'),
    parameters: [
      ...inQueries({ queue: FILTER.queue, task: FILTER.task, since: FILTER.since, until: FILTER.until }),
      inQuery('by', TEXT, 'A principal.'),
      inQuery('verdict', { type: 'string', enum: VERDICTS }),
      inQuery('limit', LIMIT),
    ],
    responses: { 200: found('The newest of them.', list('verdicts', schema('Verdict'), false)), ...refusals() },
  }),
  [`GET ${ONE}`]: () => ({
    ...about('getDead', 'One dead letter whole, with each attempt'),
    parameters: PLACE,
    responses: {
      200: found('With headers, body, history and verdicts.', schema('DeadLetter')),
      ...refusals('DEAD_LETTER_NOT_FOUND'),
    },
  }),
  'POST /v1/admin/dead/redrive': () => ({
    ...about('redriveDead', 'Gives dead letters a new life'),
    description: `${WHICH} Runs are told as lines of JSON, the last with \`"done":true\`, or with \`problem\`.`,
    requestBody: { required: true, content: jsonContent({ type: 'object', properties: { ...RUN, ...REDRIVE } }) },
    responses: { 200: told(), ...refusals('MALFORMED_JSON', 'DEAD_LETTER_NOT_FOUND') },
  }),
  [`POST ${ONE}/redrive`]: () => ({
    ...about('redriveEdited', 'Gives one dead letter a new life with another body: that of the request'),
    parameters: [...PLACE, inQuery('reason', TEXT), inQuery('force', { type: 'boolean', default: false }, FORCE)],
    requestBody: { required: true, content: anyBody() },
    responses: {
      200: found('It is on its way.', {
        type: 'object',
        properties: { letter: TEXT, generation: { type: 'integer' } },
      }),
      ...refusals('DEAD_LETTER_NOT_FOUND', 'TASK_TOO_LARGE', 'SCHEMA_MISMATCH', 'MALFORMED_JSON'),
    },
  }),
  'POST /v1/admin/dead/discard': () => ({
    ...about('discardDead', 'Closes dead letters for good'),
    description: `${WHICH} Runs are told as lines of JSON, the last with \`"done":true\`, or with \`problem\`.`,
    requestBody: { required: true, content: jsonContent({ type: 'object', properties: RUN }) },
    responses: { 200: told(), ...refusals('MALFORMED_JSON', 'DEAD_LETTER_NOT_FOUND') },
  }),
}

const WHICH = 'Which ones: `letters` by name, or those that the filters choose, or `"all": true`.'
const FORCE = 'Also what would go round in circles.'
const TEXT = { type: 'string' }
const MOMENT = { type: 'string', format: 'date-time' }
const STATE = { type: 'string', enum: ['open', 'redriven', 'discarded', 'any'], default: 'open' }
const VERDICTS = ['redriven', 'discarded']
const LIMIT = { type: 'integer', minimum: 1, maximum: LIST_MAX, default: LIST_DEFAULT }
const TIME = 'A moment, or how long ago: 2026-11-21T08:00:00Z, 2h.'

const FILTER = {
  queue: { ...TEXT },
  code: { ...TEXT, description: 'A code of the table of errors.' },
  key: { ...TEXT, description: 'An ordering key.' },
  task: { ...TEXT, description: 'The id of a task.' },
  since: { ...TEXT, description: TIME },
  until: { ...TEXT, description: TIME },
}

const RUN: Json = {
  ...FILTER,
  letters: { type: 'array', items: TEXT, minItems: 1, examples: [['orders/3/17']] },
  all: { type: 'boolean', default: false },
  limit: { type: 'integer', minimum: 1 },
  reason: { ...TEXT, description: 'Kept with the verdict.' },
  dryRun: { type: 'boolean', default: false, description: 'Only says what it would do.' },
}

const REDRIVE: Json = {
  rate: {
    type: 'number',
    minimum: 0.1,
    maximum: REDRIVE_RATE_MAX,
    default: REDRIVE_RATE_DEFAULT,
    description: 'Letters a second.',
  },
  force: { type: 'boolean', default: false, description: FORCE },
}

const PLACE = [
  inPath('queue', 'The name of a queue.'),
  inPath('partition', 'Of its dead-letter topic.', { type: 'integer', minimum: 0 }),
  inPath('offset', 'In that partition.', { type: 'integer', minimum: 0 }),
]

const HISTOGRAM: Json = {
  type: 'object',
  required: ['hours', 'total', 'earlier'],
  properties: {
    hours: {
      type: 'array',
      items: {
        type: 'object',
        required: ['from', 'codes'],
        properties: { from: MOMENT, codes: { type: 'object', additionalProperties: { type: 'integer' } } },
      },
    },
    total: { type: 'integer' },
    earlier: { type: 'integer' },
  },
}

export const DEAD_SCHEMAS: Record<string, Json> = {
  DeadLetter: {
    type: 'object',
    description: 'A task that was given up. Seen alone it has its headers, body, history and verdicts as well.',
    required: ['letter', 'queue', 'state', 'code'],
    properties: {
      letter: { ...TEXT, description: 'Its name: orders/3/17.' },
      queue: TEXT,
      state: { type: 'string', enum: ['open', 'redriven', 'discarded'] },
      task: { type: ['string', 'null'] },
      key: { type: ['string', 'null'] },
      code: TEXT,
      detail: TEXT,
      attempts: { type: 'integer' },
      generation: { type: 'integer' },
      diedAt: MOMENT,
      origin: { ...TEXT, description: 'topic:partition:offset' },
      bytes: { type: 'integer' },
    },
    additionalProperties: true,
  },
  Verdict: {
    type: 'object',
    required: ['letter', 'verdict', 'by', 'at'],
    properties: {
      letter: TEXT,
      verdict: { type: 'string', enum: VERDICTS },
      task: { type: ['string', 'null'] },
      generation: { type: 'integer' },
      by: TEXT,
      at: MOMENT,
      reason: TEXT,
      edited: { type: 'boolean' },
    },
  },
}

function inQueries(fields: Readonly<Record<string, Json>>): Json[] {
  return Object.entries(fields).map(([name, { description, ...of }]) =>
    inQuery(name, of, description as string | undefined),
  )
}

function about(operationId: string, summary: string): Json {
  return { operationId, tags: ['operators'], summary }
}

function found(description: string, of: Json): Json {
  return { description, content: jsonContent(of) }
}

/** A dry run as one object, a run as lines. */
function told(): Json {
  return {
    description: 'With `dryRun` what it would do; else its progress.',
    content: {
      'application/json': { schema: { type: 'object', additionalProperties: true } },
      'application/x-ndjson': { schema: { type: 'string' } },
    },
  }
}

function list(name: string, items: Json, counted: boolean): Json {
  const properties = { [name]: { type: 'array', items }, ...(counted ? { total: { type: 'integer' } } : {}) }
  return { type: 'object', required: Object.keys(properties), properties }
}

function refusals(...codes: Parameters<typeof problemAnswers>): Json {
  return problemAnswers(...OPERATOR_CODES, 'QUEUE_NOT_FOUND', ...codes)
}
