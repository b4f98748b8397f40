import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readHttpEvents } from '../src/cloudevents/http-binding.ts'
import { structuredText } from '../src/cloudevents/structured.ts'
import { elementTexts, memberText } from '../src/json-text.ts'
import { encoded } from './encoded.ts'

const NOW = 1_700_000_000_000
const NEEDED = ['ce-specversion', '1.0', 'Ce-Id', 'e-1', 'ce-source', '/shop', 'CE-TYPE', 'placed']

function one(headers: readonly string[], body = '', contentType = 'application/json') {
  const read = readHttpEvents({ headers, contentType, body: Buffer.from(body) }, NOW, 10)
  assert.equal(read.kind, 'one')
  return read.kind === 'one' ? read.event : ''
}

function document(event: object | string, contentType = 'application/cloudevents+json; charset=UTF-8') {
  return one([], typeof event === 'string' ? event : JSON.stringify(event), contentType)
}

test('binary mode: headers of any case are attributes, the body is the data, and now is the time where none is given', () => {
  const event = one([...NEEDED, 'Host', 'x', 'ce-partitionkey', 'c-7', 'ce-comexample', 'x'], '{"a": 1}')
  assert.deepEqual(event, {
    id: 'e-1',
    source: '/shop',
    type: 'placed',
    version: 1,
    key: 'c-7',
    timeMs: NOW,
    subject: null,
    traceparent: null,
    tracestate: null,
    extensions: { comexample: 'x' },
    bytes: Buffer.from('{"a": 1}'),
    contentType: 'application/json',
    dataSchema: null,
  })
})

test('values are freed of quotes, then percent-decoded once, and must be UTF-8', () => {
  const subject = (written: string) => {
    const event = one([...NEEDED, 'ce-subject', written])
    return typeof event === 'string' ? event : event.subject
  }
  assert.equal(subject('Euro%20%E2%82%AC%20%f0%9F%98%80'), 'Euro € 😀')
  assert.equal(subject('100%25'), '100%')
  assert.equal(subject('%2525'), '%25', 'one round')
  assert.equal(subject('"a \\"b\\" \\\\ c"'), 'a "b" \\ c')
  assert.equal(subject('"a%20b"'), 'a b')
  assert.equal(subject('%41'), 'A', 'what need not be escaped')
  assert.equal(subject(Buffer.from('grün').toString('latin1')), 'grün', 'UTF-8 as it stands')
  for (const wrong of ['%C0%A0', '%ff', '%E2%82', '\xff'])
    assert.match(String(subject(wrong)), /ce-subject" is no UTF-8/)
  for (const wrong of ['100%', '%zz', '%2']) assert.match(String(subject(wrong)), /no escape: write %25/)
  for (const wrong of ['', '""']) assert.match(String(subject(wrong)), /is empty/)
})

test('any text comes through a header as the binding writes it', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: 'binary' }), (text) => {
      fc.pre(text.isWellFormed())
      // Space, quote, percent and what is not printable ASCII.
      const written = text.replace(/[^\x21\x23\x24\x26-\x7e]/gu, (character) =>
        [...Buffer.from(character)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
      )
      const event = one([...NEEDED, 'ce-subject', written])
      assert.equal(typeof event === 'string' ? event : event.subject, text)
    }),
  )
})

test('a header that is no attribute, comes twice or has a place elsewhere is refused by name', () => {
  const refused = (...headers: string[]) => String(one([...NEEDED, ...headers]))
  assert.match(refused('ce-id', 'e-2'), /header "ce-id" came twice/)
  assert.match(refused('ce-my-name', 'x'), /header "ce-my-name" names no attribute/)
  assert.match(refused('ce-', 'x'), /names no attribute/)
  assert.match(refused('ce-data', 'x'), /the body is the data/)
  assert.match(refused('ce-datacontenttype', 'x'), /Content-Type/)
  assert.match(refused('ce-time', 'yesterday'), /no moment as RFC 3339/)
  assert.match(refused('ce-time', '2026-13-45T00:00:00Z'), /no moment/)
  assert.match(refused('ce-time', '2026-11-21'), /no moment/)
  assert.match(refused('ce-dataversion', '0'), /no version/)
  assert.match(String(one(['ce-id', 'e-1'])), /no specversion, source, type/)
  assert.match(String(one(NEEDED.with(1, '0.3'))), /specversion is "0.3", not 1.0/)
  assert.match(String(one([], '{}')), /send its attributes as headers/)
})

test('structured mode: the data stays as it was written, whatever its numbers', () => {
  const needed = '"specversion":"1.0","id":"e-1","source":"/shop","type":"placed"'
  const bytes = (rest: string) => {
    const event = document(`{${needed}${rest}}`)
    return typeof event === 'string' ? event : String(Buffer.from(event.bytes))
  }
  assert.equal(
    bytes(',"data": {"n": 9007199254740993, "x": 1e400, "e":"\\u00fc"} '),
    '{"n": 9007199254740993, "x": 1e400, "e":"\\u00fc"}',
  )
  assert.equal(bytes(''), '')
  assert.equal(bytes(',"data":null'), 'null')
  assert.equal(bytes(',"data":"plain","datacontenttype":"text/plain"'), 'plain')
  assert.equal(bytes(',"data_base64":"AAEC"'), '\u0000\u0001\u0002')
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  assert.equal(bytes(`,"data":${deep}`), deep)
  assert.match(bytes(',"data":1,"data_base64":"AA=="'), /both data and data_base64/)
  assert.match(bytes(',"data":"\\ud800","datacontenttype":"text/plain"'), /no well-formed Unicode/)
  assert.match(bytes(',"__proto__":{"admin":true}'), /"__proto__" is none/)
  assert.match(bytes(',"time":"soon"'), /no moment/)
  assert.match(String(document('[]')), /no JSON object/)
  const local = document({
    specversion: '1.0',
    id: 'e',
    source: '/',
    type: 't',
    time: '2018-04-05T17:31:00.123456+02:00',
  })
  assert.equal(typeof local === 'string' ? local : new Date(local.timeMs).toISOString(), '2018-04-05T15:31:00.123Z')
})

test('batch mode: each event is read by itself; what cannot be read at all says why', () => {
  const event = (id: number) => ({
    specversion: '1.0',
    id: String(id),
    source: '/',
    type: 't',
    data: [id, ']', { a: '\\"' }],
  })
  const batch = (body: string, contentType = 'application/cloudevents-batch+json') =>
    readHttpEvents({ headers: [], contentType, body: Buffer.from(body, 'latin1') }, NOW, 3)
  const read = batch(JSON.stringify([event(1), { ...event(2), type: undefined }, event(3)], null, 2))
  assert.equal(read.kind, 'batch')
  if (read.kind !== 'batch') return
  const [first, second, third] = read.events
  assert.ok(typeof first === 'object' && typeof third === 'object')
  assert.deepEqual(JSON.parse(String(first.bytes)), [1, ']', { a: '\\"' }])
  assert.equal(third.id, '3')
  assert.match(String(second), /no type/)
  assert.deepEqual(batch('[]'), { kind: 'batch', events: [] })
  assert.deepEqual(batch('[1,2,3,4]'), { kind: 'too-many', count: 4 })
  const why = (read: ReturnType<typeof batch>) => (read.kind === 'unreadable' ? read.why : read.kind)
  assert.match(why(batch('{}')), /JSON array/)
  assert.match(why(batch('[1,')), /no JSON in UTF-8/)
  assert.match(why(batch('["\xff"]')), /no JSON in UTF-8/)
  assert.match(why(batch('[]', 'application/cloudevents+avro')), /"application\/cloudevents\+avro" is none/)
  assert.match(why(batch('[]', 'application/cloudevents-batch+json; charset=utf-16')), /UTF-8/)
})

test('pieces of JSON texts are what a parser finds in them', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.constantFrom(0, 1, 2), (values, indent) => {
      const texts = elementTexts(JSON.stringify(values, null, indent))
      assert.deepEqual(
        texts.map((text) => JSON.parse(text)),
        JSON.parse(JSON.stringify(values)),
      )
    }),
  )
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (value, other) => {
      const text = JSON.stringify({ x: other, data: value, y: { data: other }, z: [other] })
      assert.deepEqual(JSON.parse(memberText(text, 'data')!), JSON.parse(JSON.stringify(value)))
    }),
  )
})

test('an event as one line of text reads back as it was, its numbers too', () => {
  const data = ['{"n":\n\t9007199254740993, "s": "a\\tb"}', '"text"', 'null', '']
  const events = [
    ...data.map((text) => encoded({ bytes: Buffer.from(text) })),
    encoded({ contentType: 'text/plain', bytes: Buffer.from('a\tb') }),
    encoded({ contentType: 'application/avro', bytes: Buffer.from([0, 255]) }),
    encoded({ bytes: Buffer.from('no json') }),
  ]
  for (const event of events) {
    const text = structuredText(event)
    assert.doesNotMatch(text, /\n/)
    const read = document(text)
    assert.ok(typeof read === 'object')
    const isJson = event.contentType === 'application/json'
    const written = String(event.bytes)
    assert.equal(String(Buffer.from(read.bytes)), isJson ? written.replace(/[\n\t]/g, ' ') : written)
    assert.deepEqual({ ...read, bytes: null }, { ...event, bytes: null })
  }
})
