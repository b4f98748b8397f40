import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type EventRecord, fromRecord, toRecord } from '../src/cloudevents/kafka-binding.ts'
import { readStructured, toStructured } from '../src/cloudevents/structured.ts'
import { encoded } from './encoded.ts'

const text = fc.string({ minLength: 1, unit: 'binary' }).filter((value) => value.isWellFormed())
const maybe = fc.option(text, { nil: null })
const events = fc.record(
  {
    id: text,
    source: text,
    type: text,
    version: fc.integer({ min: 1, max: 999_999_999 }),
    key: maybe,
    timeMs: fc.integer({ min: 0, max: 253_402_300_799_999 }),
    subject: maybe,
    traceparent: maybe,
    tracestate: maybe,
    extensions: fc.dictionary(fc.stringMatching(/^x[a-z0-9]{0,19}$/), fc.string({ unit: 'grapheme' }), {
      noNullPrototype: true,
    }),
    bytes: fc.oneof(
      fc.uint8Array(),
      fc.json().map((text) => Buffer.from(text)),
    ),
    contentType: fc.constantFrom('application/json', 'application/protobuf', 'text/plain'),
    dataSchema: maybe,
  },
  { noNullPrototype: true },
)

test('binary mode: the value is the data, headers are readable, the key is the record’s key', () => {
  const event = encoded({
    subject: 'account',
    traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    tracestate: 'x=1',
    extensions: { tenant: 'blue' },
    dataSchema: 'urn:x',
  })
  const record = toRecord(event, 'accounts')
  assert.deepEqual(Object.fromEntries(record.headers.map(([name, value]) => [name, String(value)])), {
    ce_specversion: '1.0',
    ce_id: 'e-1',
    ce_source: '/user-service',
    ce_type: 'user_account_verified',
    ce_time: '2023-11-14T22:13:20.000Z',
    ce_dataversion: '1',
    ce_partitionkey: 'u-1',
    ce_subject: 'account',
    ce_dataschema: 'urn:x',
    ce_traceparent: event.traceparent,
    ce_tracestate: 'x=1',
    ce_tenant: 'blue',
    'content-type': 'application/json',
  })
  assert.equal(String(record.key), 'u-1')
  assert.deepEqual(fromRecord(asFound(record)), event)
})

test('whatever is written is read as it was', () => {
  fc.assert(fc.property(events, (event) => assert.deepEqual(fromRecord(asFound(toRecord(event, 't'))), event)))
})

test('as a document too, whatever the bytes and their type', () => {
  const defaults = { key: null, timeMs: 0 }
  fc.assert(
    fc.property(events, (event) => {
      const read = readStructured(Buffer.from(JSON.stringify(toStructured(event))), defaults)
      assert.ok(typeof read !== 'string')
      const { bytes, ...attributes } = read
      const { bytes: written, ...given } = event
      assert.deepEqual(attributes, given)
      if (!isJson(written)) assert.deepEqual(Buffer.from(bytes), Buffer.from(written))
      else assert.deepEqual(JSON.parse(String(Buffer.from(bytes))), JSON.parse(String(Buffer.from(written))))
    }),
  )
})
test('structured mode: one JSON document, with data or data_base64', () => {
  const read = (document: unknown, type = 'application/cloudevents+json; charset=UTF-8') =>
    fromRecord(found({ value: Buffer.from(JSON.stringify(document)), headers: [['Content-Type', Buffer.from(type)]] }))
  const attributes = { specversion: '1.0', id: 'e-1', source: '/s', type: 't', time: '2023-11-14T22:13:20Z' }
  const event = encoded({ source: '/s', type: 't', key: 'k' })
  assert.deepEqual(read({ ...attributes, data: { userId: 'u-1' } }), event)
  assert.deepEqual(read({ ...attributes, data_base64: Buffer.from('{"userId":"u-1"}').toString('base64') }), event)
  const plain = {
    ...attributes,
    datacontenttype: 'text/plain',
    data: 'hello',
    partitionkey: 'p',
    dataversion: 3,
    tenant: true,
  }
  assert.deepEqual(read(plain), {
    ...event,
    contentType: 'text/plain',
    bytes: Buffer.from('hello'),
    key: 'p',
    version: 3,
    extensions: { tenant: 'true' },
  })
  assert.deepEqual(read({ ...attributes, subject: null }), { ...event, bytes: new Uint8Array() })
})

test('what is no event is said to be none, with the reason, and never throws', () => {
  const binary = (over: Record<string, string | null>) => {
    const all = { ce_specversion: '1.0', ce_id: 'e', ce_source: '/s', ce_type: 't', ...over }
    const headers = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null)
    return fromRecord(found({ headers: headers.map(([name, value]) => [name, Buffer.from(value, 'latin1')]) }))
  }
  assert.equal(binary({ ce_id: null, ce_source: '' }), 'It is no CloudEvent: it has no id, source.')
  assert.equal(binary({ ce_specversion: '0.3' }), 'Its specversion is "0.3", not 1.0.')
  assert.equal(binary({ ce_subject: '\xff' }), 'Its header "ce_subject" is no UTF-8.')
  for (const version of ['0', '-1', '1.5', '', 'two', '1e3', '9'.repeat(10)]) {
    assert.match(String(binary({ ce_dataversion: version })), /^Its dataversion ".*" is no version\.$/)
  }
  const structured = (value: string | null, type = 'application/cloudevents+json') =>
    fromRecord(
      found({
        value: value === null ? null : Buffer.from(value, 'latin1'),
        headers: [['content-type', Buffer.from(type)]],
      }),
    )
  assert.match(String(structured('', 'application/cloudevents-batch+json')), /is none we read/)
  assert.match(String(structured('', 'application/cloudevents+avro')), /is none we read/)
  for (const value of [null, '', '{', '\xff']) assert.match(String(structured(value)), /is no JSON/)
  for (const value of ['1', 'null', '[]']) assert.match(String(structured(value)), /no JSON object/)
  const ok = '"specversion":"1.0","id":"e","source":"/s","type":"t"'
  assert.match(String(structured(`{${ok},"Data":1}`)), /Its attribute "Data" is none/)
  assert.match(String(structured(`{${ok},"subject":{}}`)), /Its attribute "subject" is no text/)
  assert.match(String(structured(`{${ok},"data":1,"data_base64":""}`)), /both/)
  assert.match(String(structured(`{${ok},"data_base64":"*"}`)), /no base64/)
  assert.ok(structured(`{${ok},"data":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`))
})

test('any bytes in value, key and headers are read or refused', () => {
  const name = fc.constantFrom(
    'ce_id',
    'ce_source',
    'ce_type',
    'ce_specversion',
    'ce___proto__',
    'content-type',
    'traceparent',
    'ce_',
  )
  const value = fc.oneof(
    fc.uint8Array(),
    fc.constantFrom('1.0', 't', 'application/cloudevents+json').map((one) => Buffer.from(one)),
  )
  const records = fc.record({
    key: fc.option(fc.uint8Array()),
    value: fc.option(fc.uint8Array()),
    headers: fc.array(fc.tuple(name, value)),
  })
  fc.assert(
    fc.property(records, (record) => {
      const read = fromRecord(found(record))
      assert.ok(typeof read === 'string' ? read.length < 300 : read.id.length > 0)
      assert.equal(Object.getPrototypeOf(typeof read === 'string' ? {} : read.extensions), Object.prototype)
    }),
    { numRuns: 500 },
  )
})

test('what an event need not have comes from its record', () => {
  const headers: [string, Uint8Array][] = [
    ['ce_specversion', Buffer.from('1.0')],
    ['ce_id', Buffer.from('e')],
    ['ce_source', Buffer.from('/s')],
    ['ce_type', Buffer.from('t')],
    ['ce_time', Buffer.from('yesterday')],
    ['traceparent', Buffer.from('beside')],
  ]
  const event = fromRecord(found({ headers, value: null }))
  assert.ok(typeof event !== 'string')
  assert.deepEqual(
    [event.timeMs, event.key, event.traceparent, event.bytes.length, event.version, event.contentType],
    [42, 'k', 'beside', 0, 1, 'application/json'],
  )
})

function found(over: Partial<EventRecord>): EventRecord {
  return { timestampMs: 42, key: Buffer.from('k'), value: Buffer.from(''), headers: [], ...over }
}

function asFound({ key, value, headers }: Pick<EventRecord, 'key' | 'value' | 'headers'>): EventRecord {
  return found({ key, value, headers })
}

function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return true
  } catch {
    return false
  }
}
