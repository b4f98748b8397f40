import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { systemClock } from '@forebay/broker'
import { ERRORS } from '@forebay/protocol'
import { deadRoutes } from '../src/dead/admin-routes.ts'
import { logRoutes } from '../src/logs/admin-routes.ts'
import { OPERATIONS, openApiDocument } from '../src/openapi/document.ts'
import type { DocumentParts } from '../src/openapi/operation.ts'
import { documentSchemas } from '../src/openapi/queue-schema.ts'
import type { QueueOptions } from '../src/options.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'

const ORDER = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  required: ['lines'],
  properties: {
    lines: { type: 'array', items: { $ref: '#/$defs/line' } },
    note: { $ref: '#/$defs/line/properties/name' },
    parent: { $ref: '#' },
    named: { $ref: '#here' },
    $ref: { type: 'object', const: { $ref: '#/$defs/line' } },
  },
  $defs: {
    line: { type: 'object', properties: { name: { $anchor: 'here', type: 'string' }, next: { $ref: '#/$defs/line' } } },
  },
}

const QUEUES: readonly QueueOptions[] = [
  queueOptions('orders', {
    route: { method: 'PUT', path: '/orders/{customer}', parameters: ['customer'] },
    key: { from: 'path', parameter: 'customer' },
    schema: ORDER,
    idempotency: { required: true, windowMs: 60_000 },
  }),
  queueOptions('by.header', { key: { from: 'header', header: 'x-customer' } }),
  queueOptions('by_header'),
]

let log: DoorsRig
let rig: DoorsRig
before(async () => {
  log = await openDoorsRig({ queues: QUEUES })
  const queues = new Map(QUEUES.map((queue) => [queue.name, queue]))
  const { broker } = log
  const dead = { broker, clock: systemClock, queues, lanes: 1, knownLife: async () => null, blobs: null }
  rig = await openDoorsRig({ queues: QUEUES, shared: log, adminRoutes: [...deadRoutes(dead), ...logRoutes(null)] })
})
after(async () => {
  await rig.stop()
  await log.stop()
})

test('every route of the door is in the document, and nothing that is no route', async () => {
  const routes = rig.doors.http.routes.map(({ method, path }) => `${method} ${path}`)
  const documented = operations(await fetchDocument()).map(({ method, path }) => {
    // A queue's own address is under the route of all queues.
    return `${method} ${path.replace(/^\/v1\/queues\/[\w.-]+\/tasks$/, '/v1/queues/{queue}/tasks')}`
  })
  assert.deepEqual([...new Set(documented)].sort(), [...new Set(routes)].sort())
})

test('every operation that is described has a route', () => {
  const routes = new Set(rig.doors.http.routes.map(({ method, path }) => `${method} ${path}`))
  const without = Object.keys(OPERATIONS).filter((name) => !routes.has(name))
  assert.deepEqual(without, [])
})

test('every reference leads somewhere, and every operation has a name of its own', async () => {
  const document = await fetchDocument()
  const references = everyReference(document)
  assert.ok(references.length > 100)
  for (const reference of references) assert.notEqual(at(document, reference), undefined, reference)
  const names = operations(document).map(({ operation }) => operation.operationId)
  assert.equal(new Set(names).size, names.length)
  assert.ok(names.includes('submit_by_header') && names.includes('submit_by_header_2'))
})

test('each answer of a refusal names codes of its own status only; the shape of a problem has all that a caller can meet', async () => {
  const document = await fetchDocument()
  const said = new Set<string>()
  for (const { operation } of operations(document)) {
    for (const [status, { content, description }] of Object.entries(operation.responses)) {
      const reference = content?.['application/problem+json']?.schema.$ref
      if (reference === undefined) continue
      const codes = [...description.matchAll(/`(\w+)`/g)].map(([, code]) => code!)
      const { properties } = at(document, reference) as { properties: { code: { enum: string[] } } }
      for (const code of codes) {
        assert.equal(String(ERRORS[code as keyof typeof ERRORS].http), status, code)
        assert.ok(properties.code.enum.includes(code), code)
        said.add(code)
      }
    }
  }
  assert.ok(said.size > 40)
  const { code } = (at(document, '#/components/schemas/Problem') as { properties: { code: { enum: string[] } } })
    .properties
  const ofCommands = Object.keys(ERRORS).filter((one) => !code.enum.includes(one))
  assert.deepEqual(ofCommands.sort(), ['CONFIG_INVALID', 'DATA_CORRUPT', 'DATA_IN_USE'])
})

test('a queue has its own address, schema, parameters and whether it wants a key', async () => {
  const document = await fetchDocument()
  const own = operations(document).find(({ path }) => path === '/orders/{customer}')!
  assert.equal(own.method, 'PUT')
  const { parameters, requestBody } = own.operation
  assert.deepEqual(
    parameters.filter((one) => one.in === 'path').map(({ name }) => name),
    ['customer'],
  )
  assert.ok(parameters.some(({ $ref }) => $ref === '#/components/parameters/IdempotencyKeyRequired'))
  assert.deepEqual(requestBody, { required: true, content: { 'application/json': { schema: { $ref: SCHEMA } } } })
  const header = operations(document).find(({ path }) => path === '/v1/queues/by.header/tasks')!
  assert.ok(header.operation.parameters.some(({ in: place, name }) => place === 'header' && name === 'x-customer'))
})

const SCHEMA = '#/components/schemas/Task_orders'

test("references of a queue's schema into itself are moved along; what is data stays", () => {
  const schemas = documentSchemas('Task_orders', ORDER) as Record<string, { properties: Record<string, unknown> }>
  assert.deepEqual(Object.keys(schemas), ['Task_orders', 'Task_orders.line'])
  const { properties } = schemas.Task_orders!
  assert.deepEqual(properties.lines, { type: 'array', items: { $ref: `${SCHEMA}.line` } })
  assert.deepEqual(properties.note, { $ref: `${SCHEMA}.line/properties/name` })
  assert.deepEqual(properties.parent, { $ref: SCHEMA })
  assert.deepEqual(properties.named, { $ref: `${SCHEMA}.line/properties/name` })
  assert.deepEqual(properties.$ref, { type: 'object', const: { $ref: '#/$defs/line' } })
  assert.deepEqual(schemas['Task_orders.line']!.properties.next, { $ref: `${SCHEMA}.line` })
  const resource = { $id: 'urn:example:order', $ref: '#/$defs/line', $defs: { line: {} } }
  assert.deepEqual(documentSchemas('Task_orders', resource), { Task_orders: resource })
  assert.deepEqual(documentSchemas('T', { $ref: '#/$defs/a', $defs: { a: true } }), {
    T: { $ref: '#/components/schemas/T.a' },
    'T.a': {},
  })
})

test('what this server cannot do is not offered', async () => {
  const parts: DocumentParts = {
    routes: rig.doors.http.routes,
    queues: QUEUES,
    events: [],
    waitMaxMs: 60_000,
    retentionMs: 86_400_000,
    keys: true,
    delays: false,
    callbacks: false,
  }
  const without = JSON.stringify(openApiDocument(parts).paths)
  for (const name of ['Delay', 'NotBefore', 'Callback']) assert.ok(!without.includes(`parameters/${name}"`), name)
  const document = openApiDocument({ ...parts, delays: true, callbacks: true }) as unknown as Document
  const all = JSON.stringify(document.paths)
  for (const name of ['Delay', 'NotBefore', 'Callback']) assert.ok(all.includes(`parameters/${name}"`), name)
  assert.deepEqual(document.security, [{ key: [] }])
})

test('who has this version already is told so', async () => {
  const first = await fetch(`${rig.url}/openapi.json`)
  const etag = first.headers.get('etag')!
  assert.match(etag, /^"[\w-]+"$/)
  assert.equal(first.headers.get('cache-control'), 'private, no-cache')
  assert.equal(first.headers.get('content-type'), 'application/json')
  const length = (await first.arrayBuffer()).byteLength
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await fetch(`${rig.url}/openapi.json`, { headers: { 'if-none-match': known } })
    assert.equal(again.status, 304, known)
    assert.equal(again.headers.get('etag'), etag)
    assert.equal(await again.text(), '')
  }
  const other = await fetch(`${rig.url}/openapi.json`, { headers: { 'if-none-match': '"other"' } })
  assert.equal((await other.arrayBuffer()).byteLength, length)
  const head = await fetch(`${rig.url}/openapi.json`, { method: 'HEAD' })
  assert.equal(head.headers.get('content-length'), String(length))
})

test('where keys are configured the document wants one too, unless it is open', async () => {
  for (const docsOpen of [false, true]) {
    const closed = await openDoorsRig({ shared: log, auth: accessKeys({ ann: 'secret' }), http: { docsOpen } })
    try {
      const bare = await fetch(`${closed.url}/openapi.json`)
      assert.equal(bare.status, docsOpen ? 200 : 401)
      await bare.arrayBuffer()
      const headers = { authorization: 'Bearer secret' }
      const document = (await (await fetch(`${closed.url}/openapi.json`, { headers })).json()) as Document
      assert.deepEqual(document.security, [{ key: [] }])
      assert.equal(document.components.securitySchemes!.key!.scheme, 'bearer')
      assert.deepEqual(document.paths['/livez']!.get!.security, [])
    } finally {
      await closed.stop()
    }
  }
})

interface Operation {
  readonly operationId: string
  readonly parameters: readonly { readonly $ref?: string; readonly in?: string; readonly name?: string }[]
  readonly requestBody?: object
  readonly security?: readonly object[]
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description: string
        readonly content?: Record<string, { readonly schema: { readonly $ref: string } }>
      }
    >
  >
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly security?: readonly object[]
  readonly components: { readonly securitySchemes?: Readonly<Record<string, { readonly scheme: string }>> }
}

async function fetchDocument(): Promise<Document> {
  const response = await fetch(`${rig.url}/openapi.json`)
  assert.equal(response.status, 200)
  return (await response.json()) as Document
}

function operations({ paths }: Document) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  )
}

function everyReference(part: unknown): string[] {
  if (typeof part !== 'object' || part === null) return []
  return Object.entries(part).flatMap(([key, value]) => {
    if (key === 'const') return []
    return key === '$ref' && typeof value === 'string' ? [value] : everyReference(value)
  })
}

function at(document: unknown, reference: string): unknown {
  const steps = reference.replace(/^#\//, '').split('/')
  return steps.reduce<unknown>((part, step) => (part as Record<string, unknown> | undefined)?.[step], document)
}
