import { readFileSync } from 'node:fs'
import { CALLBACK_OPERATIONS, CALLBACK_SCHEMAS, WEBHOOKS } from './callback-operations.ts'
import { HEADERS, parameters, TASK_SCHEMAS } from './components.ts'
import { DEAD_OPERATIONS, DEAD_SCHEMAS } from './dead-operations.ts'
import type { Json } from './json.ts'
import { LOG_OPERATIONS } from './log-operations.ts'
import type { DocumentParts, Operations } from './operation.ts'
import { PARKED_OPERATIONS, PARKED_SCHEMAS } from './parked-operations.ts'
import { PLATFORM_OPERATIONS } from './platform-operations.ts'
import { problemSchemas } from './problems.ts'
import { PUBLISH_OPERATIONS, PUBLISH_SCHEMAS } from './publish-operation.ts'
import { bodySchemaName, distinctNames, queueAddresses } from './queue-operations.ts'
import { documentSchemas } from './queue-schema.ts'
import { TASK_OPERATIONS } from './task-operations.ts'
import { EVENT_SCHEMAS, WATCH_OPERATIONS } from './watch-operation.ts'

/** Every operation that is not a queue's own, whether this server has its route or not. */
export const OPERATIONS: Operations = {
  ...TASK_OPERATIONS,
  ...WATCH_OPERATIONS,
  ...CALLBACK_OPERATIONS,
  ...PUBLISH_OPERATIONS,
  ...PLATFORM_OPERATIONS,
  ...PARKED_OPERATIONS,
  ...DEAD_OPERATIONS,
  ...LOG_OPERATIONS,
}

/** What the HTTP door takes and answers, in OpenAPI 3.1, as this server is configured: exactly the routes that it has. */
export function openApiDocument(parts: DocumentParts): Json {
  const paths: Record<string, Record<string, Json>> = {}
  const add = (method: string, path: string, operation: Json) => {
    paths[path] = { ...paths[path], [method.toLowerCase()]: operation }
  }
  for (const { method, path } of parts.routes) {
    const operation = OPERATIONS[`${method} ${path}`]
    if (operation !== undefined) add(method, path, operation(parts))
  }
  for (const { method, path, operation } of queueAddresses(parts)) add(method, path, operation)
  const { keys, callbacks, waitMaxMs, retentionMs } = parts
  return {
    openapi: '3.1.1',
    info: {
      title: 'Forebay',
      version: VERSION,
      summary: 'Requests become durable tasks on a log; workers carry them out; the answers come back.',
      license: { name: 'Apache 2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    ...(keys ? { security: [{ key: [] }] } : {}),
    tags: TAGS,
    paths,
    ...(callbacks ? { webhooks: WEBHOOKS } : {}),
    components: {
      schemas: {
        ...TASK_SCHEMAS,
        ...EVENT_SCHEMAS,
        ...CALLBACK_SCHEMAS,
        ...PUBLISH_SCHEMAS,
        ...problemSchemas(),
        ...PARKED_SCHEMAS,
        ...DEAD_SCHEMAS,
        ...bodySchemas(parts),
      },
      parameters: parameters(waitMaxMs, retentionMs),
      headers: HEADERS,
      ...(keys ? { securitySchemes: { key: BEARER } } : {}),
    },
  }
}

const VERSION = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }
).version

const BEARER = {
  type: 'http',
  scheme: 'bearer',
  description: 'A key of `auth.keys`; `forebay keys new NAME` makes one.',
}

const TAGS = [
  { name: 'tasks', description: 'Hand a task in, see how it stands, take its result, cancel it.' },
  { name: 'callbacks', description: 'Be called when a task has ended.' },
  { name: 'queues', description: 'The addresses of each queue, with what it takes.' },
  { name: 'events', description: 'Publish events, for whoever consumes them.' },
  { name: 'platform', description: 'For what runs this server, and for who reads about it.' },
  { name: 'operators', description: 'For principals with `operator: true`; for everybody while there are no keys.' },
]

function bodySchemas({ queues }: DocumentParts): Record<string, Json> {
  const schemas: Record<string, Json> = {}
  for (const [queue, name] of distinctNames(queues)) {
    if (queue.schema !== null) Object.assign(schemas, documentSchemas(bodySchemaName(name), queue.schema))
  }
  return schemas
}
