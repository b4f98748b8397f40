import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { defineEvent, jsonSchema, prepareSchemas } from '@forebay/events'
import { avroSchema } from '@forebay/events/avro'
import { protobufSchema } from '@forebay/events/protobuf'
import { registered, schemaRegistry } from '@forebay/events/registry'
import { RegistryServer, serialized } from '../../packages/events/test/registry-server.ts'
import { hasPython, pythonPackages } from '../../scripts/rig/python-packages.ts'

const PACKAGES = ['confluent-kafka[avro,json,protobuf]==2.16.0']
const skip = (await hasPython()) ? false : 'python3 with venv is not on this machine'

const PROTO = `syntax = "proto3";
package shop.v1;
message Before { string id = 1; }
message Order {
  message Part { string id = 1; }
  message Line { string sku = 1; int32 count = 2; }
  string order_id = 1;
  int64 cents = 2;
  repeated Line lines = 3;
}
`
const JSON_SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Order',
  type: 'object',
  required: ['orderId'],
  properties: { orderId: { type: 'string' }, cents: { type: 'integer' } },
}
const avroText = (...more: object[]) =>
  JSON.stringify({
    type: 'record',
    name: 'Order',
    namespace: 'shop',
    fields: [{ name: 'orderId', type: 'string' }, { name: 'cents', type: 'long' }, ...more],
  })
const AVRO_NEWER = avroText({ name: 'note', type: ['null', 'string'], default: null })

test("Confluent's Python reads what we write, and we read what it writes: Avro, JSON Schema, Protobuf", {
  skip,
}, async () => {
  const server = new RegistryServer()
  const url = await server.start()
  const registry = schemaRegistry({ url })
  try {
    const define = <Data>(topic: string, schema: Parameters<typeof registered<Data>>[0]) =>
      defineEvent('order_made', { topic, schema: registered(schema, { registry }) })
    const avro = define('avro', avroSchema<object>({ text: avroText() }))
    const json = define('json', jsonSchema<object>(JSON_SCHEMA))
    const protobuf = define('protobuf', protobufSchema<object>({ text: PROTO, message: 'shop.v1.Order' }))
    const nested = define('nested', protobufSchema<object>({ text: PROTO, message: 'shop.v1.Order.Line' }))
    await prepareSchemas([avro, json, protobuf, nested])

    const order = { orderId: 'ö-1', cents: 2 ** 53 - 1 }
    const line = { sku: 'a', count: -3 }
    const ours = {
      avro: avro.schema.encode(order),
      json: json.schema.encode(order),
      protobuf: protobuf.schema.encode({ ...order, lines: [line] }),
      nested: nested.schema.encode(line),
    }
    const given = {
      registry: url,
      topics: {
        avro: 'avro',
        avroTheirs: 'avro',
        json: 'json',
        protobuf: 'protobuf',
        nested: 'nested',
        theirs: 'theirs',
      },
      schemas: { avroNewer: AVRO_NEWER, json: JSON.stringify(JSON_SCHEMA), descriptor: serialized(PROTO) },
      ours: Object.fromEntries(Object.entries(ours).map(([name, bytes]) => [name, base64(bytes)])),
      data: {
        avro: { ...order, note: 'theirs' },
        json: order,
        protobuf: { orderId: 'p-1', cents: '5', lines: [line] },
        nested: line,
      },
    }
    const python = join(await pythonPackages(PACKAGES), 'bin/python')
    const script = join(import.meta.dirname, 'python/schemas.py')
    const { stdout } = await promisify(execFile)(python, ['-B', script, JSON.stringify(given)])
    const { read, written } = JSON.parse(stdout)

    assert.deepEqual(read, {
      avro: { ...order, note: null },
      json: order,
      protobuf: { orderId: 'ö-1', cents: String(order.cents), lines: [line] },
      nested: line,
    })
    const decoded = async (schema: typeof avro.schema, text: string) => {
      const bytes = Buffer.from(text, 'base64')
      await schema.ready!(bytes)
      return JSON.parse(JSON.stringify(schema.decode(bytes)))
    }
    assert.deepEqual(await decoded(avro.schema, written.avro), order)
    assert.deepEqual(await decoded(json.schema, written.json), order)
    assert.deepEqual(await decoded(protobuf.schema, written.protobuf), { orderId: 'p-1', cents: 5, lines: [line] })
    assert.deepEqual(await decoded(nested.schema, written.nested), line)
    // Both sides say the same of the same schema, so whoever comes second registers nothing.
    assert.equal(written.json, base64(ours.json))
    assert.equal(
      Buffer.from(written.nested, 'base64').toString('hex', 5, 8),
      Buffer.from(ours.nested).toString('hex', 5, 8),
    )
  } finally {
    registry.close()
    await server.stop()
  }
})

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
