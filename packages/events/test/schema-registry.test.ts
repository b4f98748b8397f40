import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { defineEvent, jsonSchema, prepareSchemas } from '@forebay/events'
import { avroSchema } from '@forebay/events/avro'
import { protobufSchema } from '@forebay/events/protobuf'
import { registered, type SchemaRegistryOptions, schemaRegistry } from '@forebay/events/registry'
import { RegistryServer } from './registry-server.ts'

const server = new RegistryServer()
const url = await server.start()
after(() => server.stop())

const QUICK = { timeoutMs: 200, retries: 1 }
const open = (options: Partial<SchemaRegistryOptions> = {}) => schemaRegistry({ url, ...QUICK, ...options })
const record = (...fields: object[]) =>
  avroSchema<Record<string, unknown>>({ text: JSON.stringify({ type: 'record', name: 'shop.Order', fields }) })
const ID = { name: 'id', type: 'string' }
const COUNT = { name: 'count', type: 'int' }
const order = record(ID)
let subjects = 0
const fresh = () => `subject-${++subjects}`

test('a schema is registered once, found by its id and as the latest, and each is asked for once', async () => {
  await using registry = open()
  const subject = fresh()
  await assert.rejects(registry.lookup(subject, order), {
    code: 'SCHEMA_NOT_FOUND',
    members: { status: 404, registryCode: 40401 },
  })
  await assert.rejects(registry.latest(subject), { code: 'SCHEMA_NOT_FOUND' })
  const id = await registry.register(subject, order)
  assert.equal(await registry.register(subject, order), id)
  assert.equal(await registry.lookup(subject, order), id)
  assert.deepEqual(await registry.latest(subject), { id, version: 1, text: order.text })
  const before = server.requests.length
  assert.deepEqual(await registry.schemaOf(id), { text: order.text, imports: [] })
  await Promise.all([registry.schemaOf(id), registry.latest(subject)])
  assert.equal(server.requests.length, before + 1)
  await assert.rejects(registry.schemaOf(9_999), { code: 'SCHEMA_NOT_FOUND' })
  await assert.rejects(registry.register(subject, { ...order, text: '{' }), { code: 'SCHEMA_REFUSED' })
})

test('a schema that is not compatible is refused before anything is written', async () => {
  await using registry = open()
  const subject = fresh()
  await registry.register(subject, order)
  const next = record(ID, COUNT)
  assert.match((await registry.incompatibilities(subject, next)).join(), /count/)
  await assert.rejects(registry.register(subject, next), {
    code: 'SCHEMA_INCOMPATIBLE',
    message: /default-less shop\.Order\.count/,
  })
  assert.ok(!server.requests.at(-1)!.endsWith(`/subjects/${subject}/versions`))
  const fine = record(ID, { ...COUNT, default: 0 })
  assert.deepEqual(await registry.incompatibilities(subject, fine), [])
  assert.deepEqual(await registry.incompatibilities(fresh(), next), [])
  await registry.register(subject, fine)
  assert.equal((await registry.latest(subject)).version, 2)
})

test('a server that fails or does not answer is asked again, then the next one', async () => {
  await using registry = open({ url: [url, `${url}/`] })
  const subject = fresh()
  server.failures.push(503)
  await registry.register(subject, order)
  server.failures.push('hang')
  await registry.latest(subject)
  server.failures.push(500, 502)
  const again = open()
  await assert.rejects(again.latest(subject), { code: 'REGISTRY_UNAVAILABLE', message: /asked 2 times: status 502/ })
  server.failures.push('hang')
  await using hanging = open({ timeoutMs: 60_000 })
  const asked = hanging.latest(subject)
  asked.catch(() => {})
  while (server.failures.length > 0) await new Promise((resolve) => setImmediate(resolve))
  hanging.close()
  await assert.rejects(asked, { code: 'CLOSED' })
})

test('name and password or a token are sent, and a refusal is named', async () => {
  server.authorization = `Basic ${Buffer.from('ada:pa:ss').toString('base64')}`
  try {
    const subject = fresh()
    await open({ auth: { username: 'ada', password: 'pa:ss' } }).register(subject, order)
    server.authorization = 'Bearer t-2'
    const tokens = ['t-1', 't-2']
    const auth = { token: async () => tokens.shift()! }
    const registry = open({ auth })
    await assert.rejects(registry.lookup(subject, order), { code: 'UNAUTHENTICATED' })
    await registry.lookup(subject, order)
  } finally {
    server.authorization = null
  }
})

test('options that cannot be are refused, without a word of the password', () => {
  const cases: Partial<SchemaRegistryOptions>[] = [{ url: 'ftp://a' }, { url: [] }, { timeoutMs: 0 }, { retries: -1 }]
  for (const options of cases) assert.throws(() => open(options), { code: 'CONFIG_INVALID' })
  assert.throws(
    () => open({ url: 'http://ada:secret@127.0.0.1' }),
    (error: Error) => error.message.includes('auth') && !error.message.includes('secret'),
  )
})

test('subjects are named by topic, by record, by both, or as one says', async () => {
  await using registry = open()
  const before = new Set(server.subjects)
  const named = (subject?: 'record' | 'topic-record' | { name: string }) => {
    const schema = registered(record(ID, { ...COUNT, default: ++subjects }), {
      registry,
      ...(subject ? { subject } : {}),
    })
    return defineEvent('order_made', { topic: 'orders', schema })
  }
  await prepareSchemas([named(), named('record'), named('topic-record'), named({ name: 'mine' })])
  const made = server.subjects.filter((one) => !before.has(one))
  assert.deepEqual(made.sort(), ['mine', 'orders-shop.Order', 'orders-value', 'shop.Order'])
  const noTopic = registered(order, { registry })
  await assert.rejects(noTopic.prepare!(), { code: 'CONFIG_INVALID', message: /no subject/ })
  assert.throws(() => noTopic.encode({ id: '' }), { code: 'REGISTRY_UNAVAILABLE', message: /prepareSchemas/ })
  const unknown = registered(order, { registry, subject: { name: fresh() }, register: false })
  await assert.rejects(unknown.prepare!(), { code: 'SCHEMA_NOT_FOUND' })
})

test('bytes carry the id, and are read by the schema of whoever wrote them', async () => {
  await using registry = open()
  const subject = { name: fresh() }
  const older = registered(order, { registry, subject })
  const newer = registered(record({ name: 'count', type: 'int', default: 5 }, ID), { registry, subject })
  await older.prepare!()
  await newer.prepare!()
  const bytes = older.encode({ id: 'o-1' })
  const { id } = await registry.latest(subject.name)
  assert.equal(older.contentType, 'application/vnd.confluent.avro')
  assert.equal(newer.dataSchema, `${url}/schemas/ids/${id}`)
  assert.equal(Buffer.from(newer.encode({ id: '' })).readUInt32BE(1), id)
  assert.throws(() => newer.decode(bytes), { code: 'EVENT_UNDECODABLE' })
  await newer.ready!(bytes)
  assert.equal(newer.ready!(bytes), null)
  assert.deepEqual({ ...(newer.decode(bytes) as object) }, { count: 5, id: 'o-1' })
})

test('imports are registered before what imports them, and found again', async () => {
  await using registry = open()
  const line = { name: `shop.Line${++subjects}`, text: '' }
  line.text = JSON.stringify({ type: 'record', name: line.name, fields: [ID] })
  const text = JSON.stringify({ type: 'record', name: 'shop.Cart', fields: [{ name: 'line', type: line.name }] })
  const cart = avroSchema<unknown>({ text, imports: [line] })
  const id = await registry.register(fresh(), cart)
  assert.ok(server.subjects.includes(line.name))
  assert.deepEqual(await registry.schemaOf(id), { text, imports: [line] })
})

test('with a folder a start needs no registry', async () => {
  const cacheDir = await mkdtemp(join(tmpdir(), 'forebay-registry-'))
  try {
    const subject = { name: fresh() }
    const [writer, reader] = [open({ cacheDir }), open({ cacheDir })]
    const before = registered(order, { registry: writer, subject })
    await before.prepare!()
    const newer = registered(record(ID, { ...COUNT, default: 1 }), { registry: reader, subject, register: false })
    const bytes = before.encode({ id: 'a' })
    await newer.ready!(bytes)

    await using away = open({ cacheDir, retries: 0 })
    const failing = Array.from({ length: 2 }, () => 503)
    server.failures.push(...failing)
    const offline = registered(order, { registry: away, subject })
    await offline.prepare!()
    assert.deepEqual(offline.encode({ id: 'a' }), bytes)
    const readOffline = registered(record(ID, { ...COUNT, default: 1 }), { registry: away, subject })
    await readOffline.ready!(bytes)
    assert.equal((readOffline.decode(bytes) as { count: number }).count, 1)
    const other = registered(record(COUNT), { registry: away, subject })
    await assert.rejects(other.prepare!(), { code: 'REGISTRY_UNAVAILABLE' })
  } finally {
    server.failures.length = 0
    await rm(cacheDir, { recursive: true, force: true })
  }
})

test('bytes of no registry, and of ids that it does not know, are undecodable', async () => {
  await using registry = open()
  const proto = protobufSchema<{ id: string }>({
    text: 'syntax = "proto3"; message M { string id = 1; }',
    message: 'M',
  })
  const schema = registered(proto, { registry, subject: { name: fresh() } })
  await schema.prepare!()
  const fine = schema.encode({ id: 'a' })
  assert.deepEqual([...fine.subarray(5)], [0, 0x0a, 1, 0x61])
  assert.deepEqual(schema.decode(fine), { id: 'a' })
  const head = fine.subarray(0, 5)
  const hostile = [
    [],
    [0],
    [1, 0, 0, 0, 1],
    [...head],
    [...head, 0x80],
    [...head, 1],
    [...head, 0xff, 0xff, 0xff, 0xff, 0xff],
    [...head, 0xfe, 1],
  ]
  for (const bytes of hostile) {
    assert.equal(schema.ready!(Buffer.from(bytes)), null)
    assert.throws(() => schema.decode(Buffer.from(bytes)), { code: 'EVENT_UNDECODABLE' }, bytes.join())
  }
  const otherMessage = Buffer.from([...head, 2, 4, 0])
  await schema.ready!(otherMessage)
  assert.throws(() => schema.decode(otherMessage), {
    code: 'EVENT_UNDECODABLE',
    message: /message \[2\] of its writer's schema is not M/,
  })
  const unknownId = Buffer.from([0, 0, 1, 0, 0, 0])
  await schema.ready!(unknownId)
  assert.throws(() => schema.decode(unknownId), { code: 'EVENT_UNDECODABLE', message: /knows no schema 65536/ })
  const json = registered(jsonSchema<{ id: string }>({ type: 'object', required: ['id'] }), {
    registry,
    subject: { name: fresh() },
  })
  await json.prepare!()
  assert.equal(json.ready!(unknownId), null)
  assert.deepEqual(json.decode(Buffer.from('\0\0\x01\0\0{"id":"a"}')), { id: 'a' })
  assert.throws(() => json.decode(Buffer.from('{"id":"a"}')), {
    code: 'EVENT_UNDECODABLE',
    message: /begins with byte 123/,
  })
})
