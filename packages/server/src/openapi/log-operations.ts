import type { ErrorCode } from '@forebay/protocol'
import { type Json, jsonContent } from './json.ts'
import type { Operations } from './operation.ts'
import { OPERATOR_CODES } from './operator-parameters.ts'
import { problemAnswers } from './problems.ts'

/** What operators ask of the logs of the edge. */
export const LOG_OPERATIONS: Operations = {
  'POST /v1/admin/logs/query': () => ({
    operationId: 'queryLogs',
    tags: ['operators'],
    summary: 'Answers one SELECT over access logs, tasks and events',
    description: `${LINES} The last is \`{"end":{"truncated":false}}\`, or \`problem\`.`,
    requestBody: {
      required: true,
      content: jsonContent({
        type: 'object',
        required: ['sql'],
        properties: {
          sql: { type: 'string', description: 'One SELECT.' },
          rowsMax: { type: 'integer', minimum: 1, maximum: 1_000_000, default: 10_000 },
          timeoutMs: { type: 'integer', minimum: 1, maximum: 600_000, default: 30_000 },
          sinceMs: { type: 'integer', description: 'Only rows of this time and later, ms since 1970.' },
        },
      }),
    },
    responses: { 200: told(), ...refusals('QUERY_REFUSED', 'QUERY_LIMIT') },
  }),
  'POST /v1/admin/logs/tail': () => ({
    operationId: 'tailLogs',
    tags: ['operators'],
    summary: 'Tells rows of the logs as they come, until the caller leaves',
    description: LINES,
    requestBody: {
      required: false,
      content: jsonContent({
        type: 'object',
        properties: {
          table: { type: 'string', default: 'access' },
          where: { type: 'string', description: "A condition of SQL, as 'status >= 500'." },
        },
      }),
    },
    responses: { 200: told(), ...refusals('QUERY_REFUSED') },
  }),
}

const LINES = 'Lines of JSON: first `{"columns":[{"name","type"}]}`, then `{"rows":[[…]]}` as often as there are some.'

function told(): Json {
  const line = { type: 'object', additionalProperties: true }
  return { description: 'As it is found.', content: { 'application/x-ndjson': { schema: line } } }
}

function refusals(...codes: readonly ErrorCode[]): Json {
  const common: readonly ErrorCode[] = ['BAD_REQUEST', 'MALFORMED_JSON', 'LOGS_UNAVAILABLE']
  return problemAnswers(...OPERATOR_CODES, ...common, ...codes)
}
