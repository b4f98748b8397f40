import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiagnosticSeverity, Parser } from '@asyncapi/parser'
import { Type } from 'typebox'
import { asyncApi } from '../src/asyncapi/async-api.ts'
import { defineEvent } from '../src/define-event.ts'
import type { EventSchema } from '../src/schema.ts'
import { created, createdV2, verified } from './some-events.ts'

const INFO = { title: 'Accounts', version: '1.2.0', description: 'What services tell each other of accounts.' }
const QUEUES = [
  {
    name: 'orders',
    topic: 'forebay.tasks.orders',
    resultTopic: 'orders.results',
    schema: { type: 'object', required: ['item'], properties: { item: { $ref: '#/$defs/item' } }, $defs: { item: {} } },
    partitions: 12,
  },
  { name: 'mails', topic: 'forebay.tasks.mails', resultTopic: null, schema: null, partitions: 3 },
]

test('the official parser finds nothing wrong with what is made of events, services and queues', async () => {
  const document = asyncApi({
    info: INFO,
    servers: {
      production: { host: 'kafka:9093', protocol: 'kafka-secure', security: ['scramSha512'] },
      laptop: { host: '127.0.0.1:9092' },
    },
    events: [createdV2],
    services: {
      'user-service': { publishes: [created, verified] },
      'mail-service': { subscribes: [created, verified] },
    },
    queues: QUEUES,
  })
  const parsed = await parse(document)
  const operations = parsed.operations().all()
  assert.deepEqual(
    operations.map(
      (one) =>
        `${one.id()} ${one.action()} ${one
          .messages()
          .all()
          .map((message) => message.id())}`,
    ),
    [
      'user-service.send.accounts send user_account_created.v1,user_account_verified.v1',
      'mail-service.receive.accounts receive user_account_created.v1,user_account_verified.v1',
      'queue.orders receive orders.task',
      'queue.mails receive mails.task',
    ],
  )
  assert.deepEqual(
    parsed
      .channels()
      .all()
      .map((one) => `${one.address()} ${one.messages().all().length}`),
    ['accounts 3', 'forebay.tasks.orders 1', 'orders.results 2', 'forebay.tasks.mails 1'],
  )
  const received = operations[1]!.bindings().get('kafka')!.json<{ groupId: { const: string } }>()
  assert.equal(received.groupId.const, 'mail-service.accounts')
})

test('a task is a request whose reply is told by the id of the task', async () => {
  const parsed = await parse(asyncApi({ info: INFO, queues: QUEUES }))
  const [orders, mails] = parsed.operations().all()
  assert.equal(orders!.reply()!.channel()!.address(), 'orders.results')
  assert.equal(mails!.reply(), undefined)
  assert.equal(orders!.messages().all()[0]!.correlationId()!.location(), '$message.header#/ce_id')
  for (const reply of orders!.reply()!.messages().all()) {
    assert.equal(reply.correlationId()!.location(), '$message.header#/ce_subject')
  }
})

test('a message has the headers, the key and the data of its event', async () => {
  const unordered = defineEvent('seen', { schema: Type.Object({}) })
  const parsed = await parse(asyncApi({ info: INFO, events: [createdV2, unordered] }))
  const messages = parsed.allMessages().all()
  const [message, seen] = ['user_account_created.v2', 'seen.v1'].map((id) => messages.find((one) => one.id() === id))
  const headers = message!.headers()!.json<{ properties: Record<string, { const?: string }> }>()
  assert.equal(headers.properties.ce_type!.const, 'user_account_created')
  assert.equal(headers.properties.ce_dataversion!.const, '2')
  assert.deepEqual(message!.payload()!.json<{ required: string[] }>().required, ['userId', 'address'])
  assert.ok(message!.bindings().get('kafka')!.json<{ key?: object }>().key)
  assert.equal(seen!.bindings().get('kafka')!.json<{ key?: object }>().key, undefined)
})

test('schemas that draft-07 would read otherwise keep their format, and references still lead somewhere', async () => {
  const pair = defineEvent('pair', {
    schema: {
      prefixItems: [{ $ref: '#/$defs/name' }],
      items: false,
      $defs: { name: { type: 'string' } },
    } as unknown as ReturnType<typeof Type.Unknown>,
  })
  const tree = defineEvent('tree', {
    schema: {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: { children: { type: 'array', items: { $ref: '#' } } },
    } as unknown as ReturnType<typeof Type.Unknown>,
  })
  const document = asyncApi({ info: INFO, events: [pair, tree] })
  const { schemas } = document.components as { schemas: Record<string, Record<string, unknown>> }
  assert.equal(schemas['pair.v1']!.schemaFormat, 'application/schema+json;version=draft-2020-12')
  assert.equal(schemas['tree.v1']!.$schema, undefined)
  assert.match(JSON.stringify(schemas), /"#\/components\/schemas\/pair\.v1\/schema\/\$defs\/name"/)
  assert.match(JSON.stringify(schemas), /"#\/components\/schemas\/tree\.v1"/)
  await parse(document)
})

test('Avro and Protobuf stand under the names of their formats', async () => {
  const avro = defineEvent('measured', {
    schema: schemaOf('avro', '{"type":"record","name":"M","fields":[{"name":"x","type":"int"}]}'),
  })
  const protobuf = defineEvent('moved', {
    schema: schemaOf('protobuf', 'syntax = "proto3";\nmessage Moved { string to = 1; }\n'),
  })
  const parsed = await parse(asyncApi({ info: INFO, events: [avro, protobuf] }))
  assert.deepEqual(
    parsed
      .allMessages()
      .all()
      .map((message) => message.json<{ payload: { schemaFormat: string } }>().payload.schemaFormat),
    ['application/vnd.apache.avro+json;version=1.9.0', 'application/vnd.google.protobuf;version=3'],
  )
})

test('two definitions of one version, and a queue on the topic of events, are refused', () => {
  const other = defineEvent('user_account_verified', { schema: Type.Object({}) })
  assert.throws(() => asyncApi({ info: INFO, events: [verified, other] }), { code: 'CONFIG_INVALID' })
  const queues = [{ name: 'a', topic: 'accounts', resultTopic: null, schema: null, partitions: 1 }]
  assert.throws(() => asyncApi({ info: INFO, events: [verified], queues }), /share the topic accounts/)
})

/** Fails for each error and warning but the hint that AsyncAPI 3.1 is out, and that contact and licence are not said. */
async function parse(document: object) {
  // A document of ours goes over the wire as text.
  const { document: parsed, diagnostics } = await new Parser().parse(JSON.stringify(document))
  const told = diagnostics.filter(({ severity }) => severity <= DiagnosticSeverity.Warning)
  const faults = told.filter(({ code }) => code !== 'asyncapi-latest-version')
  assert.deepEqual(
    faults.map(({ code, message, path }) => `${code} ${path.join('/')} ${message}`),
    [],
  )
  return parsed!
}

function schemaOf(format: 'avro' | 'protobuf', text: string): EventSchema {
  const contentType = format === 'avro' ? 'application/avro' : 'application/protobuf'
  return { format, contentType, text, encode: () => new Uint8Array(), decode: () => null }
}
