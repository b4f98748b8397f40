import { header, type Json, jsonContent, schema } from './json.ts'
import type { Operations } from './operation.ts'
import { problemAnswers } from './problems.ts'

/** For the platform that runs this server, and for those who read its documentation. */
export const PLATFORM_OPERATIONS: Operations = {
  'GET /livez': () => ({
    ...about('isAlive', 'Whether the process turns'),
    security: [],
    responses: { 200: text('alive') },
  }),
  'GET /readyz': () => ({
    ...about('isReady', 'Whether it takes work'),
    security: [],
    responses: {
      200: { description: 'Ready.', content: jsonContent(schema('Readiness')) },
      503: { description: 'Not ready, and why.', content: jsonContent(schema('Readiness')) },
    },
  }),
  'GET /metrics': () => ({
    ...about('getMetrics', 'Metrics in the text format of Prometheus'),
    security: [],
    responses: { 200: text('One metric a line.') },
  }),
  'GET /openapi.json': () => ({
    ...about('getOpenApi', 'This document'),
    responses: {
      200: versioned('application/json', { type: 'object' }),
      304: UNCHANGED,
      ...problemAnswers('UNAUTHENTICATED'),
    },
  }),
  'GET /docs': () => ({
    ...about('getDocs', 'This document as a page for people'),
    responses: {
      200: versioned('text/html', { type: 'string' }),
      304: UNCHANGED,
      ...problemAnswers('UNAUTHENTICATED'),
    },
  }),
}

const UNCHANGED = {
  description: 'The version named in If-None-Match is still the one.',
  headers: { ETag: header('ETag') },
}

function about(operationId: string, summary: string): Json {
  return { operationId, tags: ['platform'], summary }
}

function text(description: string): Json {
  return { description, content: { 'text/plain': { schema: { type: 'string' } } } }
}

function versioned(type: string, of: Json): Json {
  return {
    description: 'As the server is configured now.',
    headers: { ETag: header('ETag') },
    content: { [type]: { schema: of } },
  }
}
