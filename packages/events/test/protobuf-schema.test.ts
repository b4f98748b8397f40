import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { protobufSchema } from '@forebay/events/protobuf'
import fc from 'fast-check'

const TEXT = `syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
message Before { message Inner {} }
message Order {
  string order_id = 1;
  int64 cents = 2;
  optional string note = 3;
  State state = 4;
  repeated Line lines = 5;
  bytes seal = 6;
  map<string, sint64> counts = 7;
  oneof payer { string user = 8; string company = 9; }
  google.protobuf.Timestamp paid_at = 10;
  Order parent = 11;
  map<uint64, string> names = 12;
  uint32 flags = 13;
  double rate = 14;
  enum State { STATE_OPEN = 0; STATE_PAID = 1; }
  message Line { string sku = 1; int32 count = 2; }
}
`
interface Order<Long = number> {
  orderId: string
  cents: Long
  note?: string
  state: string | number
  lines: { sku: string; count: number }[]
  seal: Uint8Array
  counts: Record<string, Long>
  user?: string
  company?: string
  paidAt?: { seconds: Long; nanos: number }
  parent?: Partial<Order<Long>>
  names: Record<string, string>
  flags: number
  rate: number
}
const NOTHING: Order = {
  orderId: '',
  cents: 0,
  state: 'STATE_OPEN',
  lines: [],
  seal: Buffer.alloc(0),
  counts: {},
  names: {},
  flags: 0,
  rate: 0,
}
const order = protobufSchema<Partial<Order>>({ text: TEXT, message: 'shop.v1.Order' })
const exact = protobufSchema<Partial<Order<bigint>>>({ text: TEXT, message: 'shop.v1.Order', longs: 'bigint' })
const oneMessage = (body: string, head = 'syntax = "proto3";') =>
  protobufSchema<Record<string, unknown>>({ text: `${head} message M { ${body} }`, message: 'M' })

test('what is written is what is read', () => {
  const text = fc.string({ unit: 'grapheme' })
  const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
  const key = text.filter((name) => name !== '__proto__')
  const orders = fc.record({
    orderId: text,
    cents: int64,
    state: fc.constantFrom('STATE_OPEN', 'STATE_PAID'),
    lines: fc.array(fc.tuple(text, int32).map(([sku, count]) => ({ sku, count }))),
    seal: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    counts: fc.dictionary(key, int64).map((map) => ({ ...map })),
    paidAt: fc.tuple(int64, fc.nat(999_999_999)).map(([seconds, nanos]) => ({ seconds, nanos })),
    names: fc.dictionary(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String), text).map((map) => ({ ...map })),
    flags: fc.nat(2 ** 32 - 1),
    rate: fc.double(),
    note: fc.string(),
    user: fc.string(),
  })
  fc.assert(
    fc.property(orders, (one) => assert.deepEqual(exact.decode(exact.encode(one)), { ...one })),
    { numRuns: 50 },
  )
})

test('what was left out is its zero where it has no presence of its own, and not there where it has', () => {
  assert.deepEqual(order.decode(order.encode({})), NOTHING)
  assert.equal(order.encode({ orderId: '', cents: 0, flags: 0 }).length, 0)
  assert.deepEqual(order.decode(order.encode({ note: '', user: '' })), { ...NOTHING, note: '', user: '' })
})

test('each place at fault is named', () => {
  const wrong = {
    orderId: 5,
    cents: 2 ** 53,
    note: null,
    state: 'STATE_LOST',
    lines: [{ sku: 'a', count: 0.5 }],
    colour: 'red',
  } as unknown as Order
  assert.throws(() => order.encode(wrong), {
    code: 'EVENT_INVALID',
    message:
      'The data does not meet its schema: /orderId must be a text; /cents must be int64 (number); /note is null: leave it out; /state must be one of STATE_OPEN, STATE_PAID; /lines/0/count must be an int32.',
  })
  const faults: [string, unknown, RegExp][] = [
    ['a stranger', { colour: 'red' }, /\/colour is no field of shop\.v1\.Order/],
    ['both of a oneof', { user: 'a', company: 'b' }, /more than one payer: user, company/],
    ['half a character', { orderId: '\ud800' }, /\/orderId must be a text/],
    ['a key that is no number', { names: { x: '' } }, /\/names\/x is no key of type uint64/],
    ['a key beyond its type', { names: { '18446744073709551616': '' } }, /no key/],
    ['an inherited name', { constructor: 1 }, /\/constructor is no field/],
    ['text for bytes', { seal: 'abc' }, /\/seal must be a Uint8Array/],
    ['a list', [], /^The data does not meet its schema: \/ must be shop\.v1\.Order\.$/],
  ]
  for (const [what, data, message] of faults) {
    assert.throws(() => order.encode(data as Order), { code: 'EVENT_INVALID', message }, what)
  }
  const circle: Partial<Order> = {}
  circle.parent = circle
  assert.throws(() => order.encode(circle), { code: 'EVENT_INVALID' })
  assert.throws(() => oneMessage('required string a = 1;', 'syntax = "proto2";').encode({}), /\/a is required/)
})

test('64-bit integers are exact, or refused', () => {
  const bytes = exact.encode({ cents: 2n ** 53n })
  assert.throws(() => order.decode(bytes), { code: 'EVENT_UNDECODABLE', message: /9007199254740992 in cents/ })
  assert.equal(order.decode(exact.encode({ cents: -(2n ** 53n) + 1n })).cents, -(2 ** 53) + 1)
})

test('fields and enum values of a newer version do not stop an older one', () => {
  const newer = oneMessage('string a = 1; E e = 2; string b = 3; enum E { X = 0; Y = 1; }')
  const older = oneMessage('string a = 1; E e = 2; enum E { X = 0; }')
  const bytes = newer.encode({ a: 'a', e: 'Y', b: 'b' })
  assert.deepEqual(older.decoderOf!({ text: newer.text, messageIndex: [0] })(bytes), { a: 'a', e: 1 })
})

test("a writer's index must name our message", () => {
  assert.deepEqual(order.messageIndex, [1])
  const inner = protobufSchema<object>({ text: TEXT, message: 'shop.v1.Before.Inner' })
  assert.deepEqual(inner.messageIndex, [0, 0])
  inner.decoderOf!({ text: TEXT, messageIndex: [0, 0] })
  for (const messageIndex of [[0], [1], [0, 1], [0, 0, 0], [7], []]) {
    const writer = { text: TEXT, messageIndex }
    assert.throws(() => inner.decoderOf!(writer), {
      code: 'EVENT_UNDECODABLE',
      message: /is not shop\.v1\.Before\.Inner/,
    })
  }
  assert.throws(() => order.decoderOf!({ text: 'no proto', messageIndex: [0] }), { code: 'EVENT_UNDECODABLE' })
})

test('files import each other from one folder; what cannot be read is said at once', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'forebay-proto-'))
  const put = (name: string, text: string) => writeFile(join(folder, name), `syntax = "proto3"; ${text}`)
  try {
    await mkdir(join(folder, 'shop'))
    await put('shop/a.proto', 'package a; import "shop/b.proto"; message A { b.B b = 1; }')
    await put('shop/b.proto', 'package b; import "shop/c.proto"; message B { c.C c = 1; }')
    await put('shop/c.proto', 'package c; message C { string name = 1; }')
    const schema = protobufSchema<{ b: { c: { name: string } } }>({
      file: join(folder, 'shop/a.proto'),
      importsIn: folder,
      message: 'a.A',
    })
    assert.deepEqual(
      schema.imports!.map(({ name }) => name),
      ['shop/c.proto', 'shop/b.proto'],
    )
    const data = { b: { c: { name: 'x' } } }
    assert.deepEqual(schema.decode(schema.encode(data)), data)

    await put('round.proto', 'import "round2.proto"; message R {}')
    await put('round2.proto', 'import "round2.proto";')
    await put('outside.proto', 'import "../x.proto"; message R {}')
    const refused: [string, string][] = [
      ['round.proto', 'R'],
      ['outside.proto', 'R'],
      ['shop/a.proto', 'a.A'],
      ['none.proto', 'R'],
      ['shop/c.proto', 'c.Nothing'],
    ]
    for (const [file, message] of refused) {
      assert.throws(() => protobufSchema({ file: join(folder, file), message }), { code: 'CONFIG_INVALID' }, file)
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  assert.throws(() => protobufSchema({ text: 'message {', message: 'M' }), { code: 'CONFIG_INVALID' })
  const missing = 'syntax = "proto3"; import "a.proto"; message M {}'
  assert.throws(() => protobufSchema({ text: missing, message: 'M' }), { message: /a\.proto, which is not there/ })
})

test('hostile bytes end in EVENT_UNDECODABLE, and soon', () => {
  let deep = Buffer.alloc(0)
  for (let level = 0; level < 200; level++) {
    const length = []
    let left = deep.length
    for (; left > 127; left >>>= 7) length.push((left & 127) | 128)
    deep = Buffer.concat([Buffer.from([0x5a, ...length, left]), deep])
  }
  const hostile: [string, Uint8Array][] = [
    ['a huge length', Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x07])],
    ['deep nesting', deep],
    ['a group without an end', Buffer.alloc(10_000, 0xa3)],
    ['a number without an end', Buffer.alloc(20, 0xff)],
    ['no UTF-8', Buffer.from([0x0a, 1, 0xff])],
    ['the field 0', Buffer.from([0, 0])],
    ['a key that sets a prototype', Buffer.from('\x3a\x0b\x0a\x09__proto__')],
  ]
  for (const [what, bytes] of hostile) assert.throws(() => order.decode(bytes), { code: 'EVENT_UNDECODABLE' }, what)
  const whole = order.encode({ orderId: 'o-1', parent: { orderId: 'o-2', lines: [{ sku: 'a', count: 1 }] } })
  let refused = 0
  for (let length = 0; length < whole.length; length++) {
    try {
      order.decode(whole.subarray(0, length))
    } catch (error) {
      refused++
      assert.equal((error as { code?: string }).code, 'EVENT_UNDECODABLE')
    }
  }
  // Between two fields of the outermost message a truncation cannot be seen.
  assert.equal(refused, whole.length - 2)
})

test('any bytes are read or refused, never anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        order.decode(bytes)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'EVENT_UNDECODABLE')
      }
    }),
  )
})
