import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { jsonSchema } from '@forebay/events'
import { avroSchema } from '@forebay/events/avro'
import { protobufSchema } from '@forebay/events/protobuf'
import { registered, schemaRegistry } from '@forebay/events/registry'
import { startProcess } from '../../scripts/rig/process.ts'
import { GO_QUICK } from './go-client.ts'

const env = { ...process.env, CGO_ENABLED: '0', PATH: [process.env.PATH, '/usr/local/go/bin'].join(delimiter) }
const run = promisify(execFile)
const skip = (await hasGo()) ? false : 'Go 1.24 or later is not on this machine'

/** franz-go's registry for tests: others wrote it, from the same published interface. It takes everything for compatible. */
test('our client takes every road of a schema registry that others wrote', { skip }, async () => {
  await using server = startProcess({ name: 'srfake', command: await foreignRegistry(), args: [] })
  const [url] = await server.line(/http:\S+/)
  await using registry = schemaRegistry({ url })
  const avro = (...fields: object[]) =>
    avroSchema<object>({ text: JSON.stringify({ type: 'record', name: 'shop.Order', fields }) })
  const id = { name: 'id', type: 'string' }
  const order = avro(id)

  await assert.rejects(registry.lookup('orders-value', order), { code: 'SCHEMA_NOT_FOUND' })
  await assert.rejects(registry.latest('orders-value'), { code: 'SCHEMA_NOT_FOUND' })
  await assert.rejects(registry.schemaOf(999), { code: 'SCHEMA_NOT_FOUND' })
  const first = await registry.register('orders-value', order)
  assert.equal(await registry.register('orders-value', order), first)
  assert.equal(await registry.lookup('orders-value', order), first)
  assert.deepEqual(await registry.incompatibilities('orders-value', avro()), [])
  const second = await registry.register('orders-value', avro(id, { name: 'count', type: 'int', default: 0 }))
  const { id: latestId, version } = await registry.latest('orders-value')
  assert.deepEqual([latestId, version], [second, 2])
  assert.deepEqual(await registry.schemaOf(first), { text: order.text, imports: [] })
  await assert.rejects(registry.register('orders-value', { ...order, text: '{' }), { code: 'SCHEMA_REFUSED' })

  const line = { name: 'shop.Line', text: JSON.stringify({ type: 'record', name: 'shop.Line', fields: [id] }) }
  const text = JSON.stringify({ type: 'record', name: 'shop.Cart', fields: [{ name: 'line', type: 'shop.Line' }] })
  const cart = await registry.register('cart-value', avroSchema({ text, imports: [line] }))
  assert.deepEqual(await registry.schemaOf(cart), { text, imports: [line] })

  const proto = protobufSchema<object>({ text: 'syntax = "proto3"; message M { string id = 1; }', message: 'M' })
  for (const schema of [proto, jsonSchema<object>({ type: 'object' }), order]) {
    const name = `${schema.format}-mine`
    const writer = registered<object>(schema, { registry, subject: { name } })
    await writer.prepare!()
    const reader = registered<object>(schema, { registry, subject: { name } })
    const bytes = writer.encode({ id: 'a' })
    await reader.ready!(bytes)
    assert.deepEqual({ ...reader.decode(bytes) }, { id: 'a' })
  }
})

const SOURCE = join(import.meta.dirname, 'registry')
const FILES = ['main.go', 'go.mod', 'go.sum']

/** Built outside the checkout, the first time; found there as long as its source does not change. */
async function foreignRegistry(): Promise<string> {
  const texts = await Promise.all(FILES.map((file) => readFile(join(SOURCE, file), 'utf8')))
  const name = createHash('sha256').update(JSON.stringify(texts)).digest('hex').slice(0, 12)
  const folder = join(homedir(), '.cache/forebay/go')
  const program = join(folder, `registry-${name}`)
  if (existsSync(program)) return program
  await mkdir(folder, { recursive: true })
  const fresh = `${program}.${process.pid}`
  await run('go', ['build', ...GO_QUICK, '-o', fresh, '.'], { cwd: SOURCE, env })
  await rename(fresh, program)
  return program
}

/** Debian's may be too old for the module. */
async function hasGo(): Promise<boolean> {
  const { stdout } = await run('go', ['version'], { env }).catch(() => ({ stdout: '' }))
  return Number(/go1\.(\d+)/.exec(stdout)?.[1]) >= 24
}
