import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type TSchema, Type } from 'typebox'
import { asyncApi } from '../src/asyncapi/async-api.ts'
import { assertCompatible, checkEvents } from '../src/compatibility/check-events.ts'
import { type DescribedEvent, describeSchema } from '../src/compatibility/described-event.ts'
import type { InclusionOptions } from '../src/compatibility/inclusion.ts'
import { defineEvent } from '../src/define-event.ts'

const CLOSED = { additionalProperties: false }

test('the same definitions, also with other words for people, break nobody', () => {
  const before = account({ a: Type.String() })
  const after = account({ a: Type.String({ description: 'A word.' }) })
  const { compatible, events } = checkEvents([before], [after])
  assert.deepEqual([compatible, events[0]!.state, events[0]!.changes], [true, 'same', []])
})

test('each change breaks whom it breaks', () => {
  const word = { a: Type.String() }
  const cases: readonly [string, TSchema, TSchema, readonly string[]][] = [
    ['a member becomes required', open({ a: Type.Optional(Type.String()) }), open(word), ['BACKWARD /a']],
    ['a member need not be there any more', open(word), open({ a: Type.Optional(Type.String()) }), ['FORWARD /a']],
    ['a type is widened', open({ a: Type.Integer() }), open({ a: Type.Number() }), ['FORWARD /a']],
    ['a type is narrowed', open({ a: Type.Number() }), open({ a: Type.Integer() }), ['BACKWARD /a']],
    ['null is allowed', open(word), open({ a: Type.Union([Type.String(), Type.Null()]) }), ['FORWARD /a']],
    ['an enum gets a value', open({ a: Type.Enum(['x']) }), open({ a: Type.Enum(['x', 'y']) }), ['FORWARD /a']],
    ['an enum loses one', open({ a: Type.Enum(['x', 'y']) }), open({ a: Type.Enum(['x']) }), ['BACKWARD /a']],
    [
      'a limit falls',
      open({ a: Type.String({ maxLength: 9 }) }),
      open({ a: Type.String({ maxLength: 8 }) }),
      ['BACKWARD /a'],
    ],
    [
      'a minimum falls',
      open({ a: Type.Number({ minimum: 2 }) }),
      open({ a: Type.Number({ minimum: 1 }) }),
      ['FORWARD /a'],
    ],
    ['a format is asked for', open(word), open({ a: Type.String({ format: 'email' }) }), ['BACKWARD /a']],
    [
      'items change',
      open({ a: Type.Array(Type.String()) }),
      open({ a: Type.Array(Type.Number()) }),
      ['BACKWARD /a/*', 'FORWARD /a/*'],
    ],
    ['others are refused from now on', open(word), Type.Object(word, CLOSED), ['BACKWARD /*']],
    [
      'a closed object gets a member',
      Type.Object(word, CLOSED),
      Type.Object({ ...word, b: Type.Optional(Type.Null()) }, CLOSED),
      ['FORWARD /b'],
    ],
    [
      'a choice gets an option',
      Type.Union([kind('x'), kind('y')]),
      Type.Union([kind('x'), kind('y'), kind('z')]),
      ['FORWARD '],
    ],
  ]
  for (const [what, before, after, expected] of cases) {
    const { breaks } = checkEvents([event(before)], [event(after)]).events[0]!
    assert.deepEqual(
      [what, ...new Set(breaks.map(({ direction, path }) => `${direction} ${path}`))],
      [what, ...expected],
    )
    assert.ok(breaks.every(({ isCertain }) => isCertain) || what === 'a choice gets an option', what)
  }
})

test('a new optional member breaks only if writers send what their schema does not name', () => {
  const [before, after] = [
    account({ a: Type.String() }),
    account({ a: Type.String(), b: Type.Optional(Type.Integer()) }),
  ]
  const strict = checkEvents([before], [after])
  assert.deepEqual(
    strict.events[0]!.breaks.map(({ direction, path }) => `${direction} ${path}`),
    ['BACKWARD /b'],
  )
  assert.match(strict.events[0]!.breaks[0]!.message, /not named by the writer/)
  assert.equal(checkEvents([before], [after], NAMED).compatible, true)
  assertCompatible([before], [after], NAMED)
})

test('recursive schemas are compared, and what cannot be decided counts as a break', () => {
  const tree = (leaf: object) =>
    json({
      $ref: '#/$defs/tree',
      $defs: {
        tree: { type: 'object', properties: { leaf, more: { type: 'array', items: { $ref: '#/$defs/tree' } } } },
      },
    })
  assert.equal(checkEvents([tree({ type: 'integer' })], [tree({ type: 'integer' })]).compatible, true)
  const { breaks } = checkEvents([tree({ enum: [1, 2] })], [tree({ type: 'integer' })]).events[0]!
  assert.deepEqual([...new Set(breaks.map(({ direction }) => direction))], ['FORWARD'])
  const patterns = checkEvents(
    [json({ type: 'string', pattern: '^a+$' })],
    [json({ type: 'string', pattern: '^aa*$' })],
  )
  assert.deepEqual([patterns.compatible, patterns.events[0]!.breaks[0]!.isCertain], [false, false])
  const dynamic = checkEvents([json({ $dynamicRef: '#x' })], [json({ $dynamicRef: '#y' })])
  assert.match(dynamic.events[0]!.breaks[0]!.message, /cannot be decided/)
})

test('versions that come are a note, versions and topics and keys that go are breaks', () => {
  const first = account({ a: Type.String() })
  const second = defineEvent('account', { version: 2, topic: 'accounts', key: () => 'k', schema: open({}) })
  const added = checkEvents([first], [first, second])
  assert.deepEqual([added.compatible, added.events[1]!.state], [true, 'added'])
  assert.match(added.events[1]!.notes[0]!, /deploy consumers/)
  assert.match(checkEvents([first, second], [second]).events[0]!.breaks[0]!.message, /version 1 is removed/)
  assert.match(checkEvents([first], []).events[0]!.breaks[0]!.message, /the event is removed/)
  const elsewhere = defineEvent('account', { topic: 'other', schema: open({ a: Type.String() }) })
  assert.deepEqual(
    checkEvents([first], [elsewhere]).events[0]!.breaks.map(({ direction }) => direction),
    ['FORWARD', 'BACKWARD', 'FORWARD'],
  )
  assert.throws(() => assertCompatible([first], []), /account v1 BACKWARD \/: the event is removed/)
})

test('a document says the same as the definitions it was made of', () => {
  const first = account({ a: Type.String(), list: Type.Array(Type.Union([Type.String(), Type.Null()])) })
  const second = defineEvent('account', {
    version: 2,
    topic: 'accounts',
    schema: Type.Object({ b: Type.Integer() }, CLOSED),
  })
  const queues = [{ name: 'q', topic: 'q', resultTopic: 'r', schema: null, partitions: 1 }]
  const document = asyncApi({ info: { title: 't', version: '1' }, events: [first, second], queues })
  const { compatible, events } = checkEvents(document, [first, second])
  assert.deepEqual(
    events.map(({ name, version, state }) => `${name} ${version} ${state}`),
    ['account 1 same', 'account 2 same'],
  )
  assert.equal(compatible, true)
  const wider = defineEvent('account', {
    version: 2,
    topic: 'accounts',
    schema: Type.Object({ b: Type.Number() }, CLOSED),
  })
  const { breaks } = checkEvents(document, [first, wider]).events[1]!
  assert.deepEqual(
    breaks.map(({ direction, path }) => `${direction} ${path}`),
    ['FORWARD /b'],
  )
  assert.throws(() => checkEvents({ openapi: '3.1.0' }, []), { code: 'CONFIG_INVALID' })
})

test('Avro is compared by its rules of resolution, Protobuf by numbers and types', () => {
  const spaced = other('avro', '{ "type": "int" }')
  assert.equal(checkEvents([other('avro', '{"type":"int"}')], [spaced]).events[0]!.state, 'same')
  const record = (...fields: object[]) => other('avro', JSON.stringify({ type: 'record', name: 'A', fields }))
  const a = { name: 'a', type: 'int' }
  assert.deepEqual(directions(record(a), record(a, { name: 'b', type: 'int' })), ['BACKWARD'])
  assert.deepEqual(directions(record(a), record(a, { name: 'b', type: 'int', default: 1 })), [])
  assert.deepEqual(directions(record(a), record({ name: 'a', type: 'long' })), ['FORWARD'])
  assert.deepEqual(
    directions(record(a), other('avro', '{"type":"record","name":"A","fields":[{"name":"a","type":"B"}]}')),
    ['BACKWARD', 'FORWARD'],
  )

  const message = (body: string) =>
    other('protobuf', `syntax = "proto3"; package p; message A { ${body} } enum E { Z = 0; }`)
  const old = message('string a = 1; int32 b = 2;')
  assert.deepEqual(directions(old, message('string other = 1; int32 b = 2; E more = 3;')), [])
  assert.deepEqual(directions(old, message('string a = 1;')), ['BACKWARD'])
  assert.deepEqual(directions(old, message('string a = 1; reserved 2;')), [])
  assert.deepEqual(directions(message('string a = 1; reserved 2;'), old), ['FORWARD'])
  assert.deepEqual(directions(old, message('string a = 1; string b = 2;')), ['BACKWARD', 'FORWARD'])
  assert.deepEqual(directions(old, message('repeated string a = 1; int32 b = 2;')), ['BACKWARD', 'FORWARD'])
  assert.deepEqual(directions(old, record(a)), ['BACKWARD', 'FORWARD'])
  const importing = (text: string): DescribedEvent => ({
    ...BARE,
    schema: { format: 'protobuf', text: 'syntax = "proto3";', imports: [{ name: 'b.proto', text }] },
  })
  const [first, second] = ['syntax = "proto3";', 'syntax = "proto3"; message B {}'].map(importing)
  assert.match(
    checkEvents([first!], [second!]).events[0]!.breaks[0]!.message,
    /cannot be decided: a file that it imports/,
  )
})

const NAMED: InclusionOptions = { namedOnly: true }

function account(properties: Record<string, TSchema>) {
  return event(open(properties))
}

function event(schema: TSchema) {
  return defineEvent('account', { topic: 'accounts', key: () => 'k', schema })
}

function open(properties: Record<string, TSchema>) {
  return Type.Object(properties)
}

function kind(name: string) {
  return Type.Object({ kind: Type.Literal(name), a: Type.Optional(Type.String()) })
}

function json(schema: object): DescribedEvent {
  return { ...BARE, schema: describeSchema('json', JSON.stringify(schema)) }
}

function other(format: 'avro' | 'protobuf', text: string): DescribedEvent {
  return { ...BARE, schema: describeSchema(format, text) }
}

const BARE = { name: 'e', version: 1, topic: null, isKeyed: null }

function directions(before: DescribedEvent, after: DescribedEvent) {
  return checkEvents([before], [after]).events[0]!.breaks.map(({ direction }) => direction)
}
