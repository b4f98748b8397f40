import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Type } from 'typebox'
import { type DataOf, defineEvent, type EventOf } from '../src/define-event.ts'
import { jsonSchema } from '../src/json-schema.ts'
import type { Producer } from '../src/producer.ts'
import { created, type createdV2, verified } from './some-events.ts'

test('a definition has a topic of its own name, version 1 and no key unless it says otherwise', () => {
  const { name, topic, version, keyOf } = defineEvent('it_rained', { schema: Type.Object({ mm: Type.Number() }) })
  assert.deepEqual([name, topic, version, keyOf({ mm: 3 })], ['it_rained', 'forebay.events.it_rained', 1, null])
})

test('names, versions, topics and schemas that cannot be one are refused by field', () => {
  const schema = Type.Object({})
  const fault = (field: string) => ({ code: 'CONFIG_INVALID', message: new RegExp(`defineEvent: ${field}: `) })
  for (const name of ['', '1st', 'a b', 'ä', 'x'.repeat(101)])
    assert.throws(() => defineEvent(name, { schema }), fault('name'))
  for (const version of [0, -1, 1.5, Number.NaN, 1e9]) {
    assert.throws(() => defineEvent('a', { version, schema }), fault('version'))
  }
  for (const topic of ['', '.', '..', 'a/b', 'x'.repeat(250)]) {
    assert.throws(() => defineEvent('a', { topic, schema }), fault('topic'))
  }
  assert.throws(() => jsonSchema({ type: 'nonsense' }), { code: 'CONFIG_INVALID' })
  assert.throws(() => jsonSchema({ $ref: 'elsewhere.json' }), { code: 'CONFIG_INVALID' })
  assert.throws(() => jsonSchema({ $async: true }), { code: 'CONFIG_INVALID' })
})

test('types: the data of a definition is known where it is published and where it is handled', () => {
  const publish = async (producer: Producer<typeof created | typeof verified>) => {
    await producer.publish(created, { data: { userId: 'u', email: 'e' } })
    // @ts-expect-error: it has no e-mail address
    await producer.publish(created, { data: { userId: 'u' } })
    // @ts-expect-error: a number is no id
    await producer.publish(verified, { data: { userId: 1 } })
    // @ts-expect-error: nobody verifies by name
    await producer.publish(verified, { data: { userId: 'u', name: 'Ada' } })
    const other = defineEvent('other', { schema: Type.Object({}) })
    // @ts-expect-error: it is not among the producer's events
    await producer.publish(other, { data: {} })
    const anyProducer: Producer = producer
    return anyProducer
  }
  const handle = (event: EventOf<typeof created | typeof createdV2>) => {
    const name: 'user_account_created' = event.type
    // @ts-expect-error: only once its version is known
    void event.data.email
    return event.version === 1 ? [name, event.data.email] : [name, event.data.address.email]
  }
  const same = defineEvent('same', { version: 3, schema: verified.schema, key: ({ userId }) => userId })
  const version: 3 = same.version
  assert.equal(version, 3)
  const data: DataOf<typeof verified> & DataOf<typeof same> = { userId: 'u' }
  assert.equal(typeof publish, 'function')
  assert.equal(typeof handle, 'function')
  assert.equal(verified.keyOf(data), 'u')
})

test('JSON data is checked on both ways, with each fault named', () => {
  const { schema } = created
  const data = { userId: 'u', email: 'ada@example.com' }
  assert.deepEqual(schema.decode(schema.encode(data)), data)
  const wrong = { userId: 1, email: 'nobody' } as unknown as typeof data
  const names = (code: string) => ({ code, message: /\/userId must be string; \/email must match format "email"/ })
  assert.throws(() => schema.encode(wrong), names('EVENT_INVALID'))
  assert.throws(() => schema.decode(Buffer.from(JSON.stringify(wrong))), names('EVENT_UNDECODABLE'))
  for (const bytes of ['', '{', 'null', '"x"', '{"userId":"u"}']) {
    assert.throws(() => schema.decode(Buffer.from(bytes)), { code: 'EVENT_UNDECODABLE' })
  }
  assert.throws(() => schema.decode(Buffer.from([0x22, 0xff, 0x22])), { code: 'EVENT_UNDECODABLE' })
  const anything = jsonSchema<unknown>({})
  for (const value of [undefined, 1n, () => {}]) assert.throws(() => anything.encode(value), { code: 'EVENT_INVALID' })
})
