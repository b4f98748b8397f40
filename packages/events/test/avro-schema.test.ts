import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { avroSchema } from '@forebay/events/avro'
import fc from 'fast-check'

interface Order {
  id: string
  cents: number
  note: string | null
  state: 'open' | 'paid'
  lines: { sku: string; count: number }[]
  seal: Buffer
}

const ORDER = {
  type: 'record',
  name: 'shop.Order',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'cents', type: 'long', default: 7 },
    { name: 'note', type: ['null', 'string'], default: null },
    { name: 'state', type: { type: 'enum', name: 'State', symbols: ['open', 'paid'], default: 'open' } },
    {
      name: 'lines',
      type: {
        type: 'array',
        items: { type: 'record', name: 'Line', fields: [field('sku', 'string'), field('count', 'int')] },
      },
    },
    { name: 'seal', type: 'bytes', default: '' },
  ],
}
const order = avroSchema<Order>({ text: JSON.stringify(ORDER) })
const AN_ORDER: Order = { id: 'o-1', cents: 1_250, note: null, state: 'paid', lines: [], seal: Buffer.from([0, 255]) }

function field(name: string, type: unknown) {
  return { name, type }
}

function record(name: string, ...fields: unknown[]) {
  return avroSchema<Record<string, unknown>>({ text: JSON.stringify({ type: 'record', name, fields }) })
}

test('what is written is what is read', () => {
  const line = fc.record({ sku: fc.string(), count: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) })
  const orders = fc.record({
    id: fc.string({ unit: 'binary' }),
    cents: fc.maxSafeInteger(),
    note: fc.option(fc.string()),
    state: fc.constantFrom('open' as const, 'paid' as const),
    lines: fc.array(line),
    seal: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  })
  fc.assert(
    fc.property(orders, (one) => {
      assert.deepEqual(plain(order.decode(order.encode(one))), plain(one))
    }),
    { numRuns: 50 },
  )
})

test('each place at fault is named, and a field that the schema does not have', () => {
  const wrong = { ...AN_ORDER, cents: '12', lines: [{ sku: 'a', count: 0.5 }], colour: 'red' } as unknown as Order
  assert.throws(() => order.encode(wrong), {
    code: 'EVENT_INVALID',
    message:
      'The data does not meet its schema: / has fields that shop.Order has not: colour; /cents must be long; /lines/0/count must be int.',
  })
  const circle: Record<string, unknown> = { next: null }
  circle.next = circle
  const list = record('List', field('next', ['null', 'List']))
  assert.throws(() => list.encode(circle), { code: 'EVENT_INVALID' })
})

test('what is left out is written as its default', () => {
  const { id, state, lines } = AN_ORDER
  const read = order.decode(order.encode({ id, state, lines } as unknown as Order))
  assert.deepEqual([read.cents, read.note, read.seal], [7, null, Buffer.alloc(0)])
})

test('a long is exact: as a number it is refused beyond 2^53, as a bigint it has all its bits', () => {
  const text = JSON.stringify({ type: 'record', name: 'Count', fields: [field('n', 'long')] })
  const exact = avroSchema<{ n: bigint }>({ text, longs: 'bigint' })
  const rounded = avroSchema<{ n: number }>({ text })
  for (const n of [0n, -1n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
    assert.equal(exact.decode(exact.encode({ n })).n, n)
  }
  assert.throws(() => rounded.decode(exact.encode({ n: 2n ** 53n + 1n })), { code: 'EVENT_UNDECODABLE' })
  assert.throws(() => rounded.encode({ n: 2 ** 53 }), { code: 'EVENT_INVALID' })
  assert.throws(() => exact.encode({ n: 2n ** 63n }), /\/n must be long/)
})

test('a long is read as a double as near as a double can be', () => {
  const long = avroSchema<bigint>({ text: 'long', longs: 'bigint' })
  const double = avroSchema<number>({ text: 'double' }).decoderOf!(long)
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (n) => {
      assert.equal(double(long.encode(n)), Number(n))
    }),
  )
  const number = avroSchema<number>({ text: 'long' })
  const int = avroSchema<number>({ text: 'int' })
  assert.equal(number.decoderOf!(int)(int.encode(-3)), -3)
  assert.equal(long.decoderOf!(int)(int.encode(-3)), -3n)
})

test('a reader takes what another version of the schema wrote, or says why it cannot', () => {
  const older = record('shop.Order', field('id', 'int'), field('gone', { type: 'array', items: 'string' }))
  const newer = record('shop.Order', field('id', 'long'), { ...field('colour', 'string'), default: 'blue' })
  const read = newer.decoderOf!({ text: older.text })(older.encode({ id: 5, gone: ['a'] }))
  assert.deepEqual(plain(read), { id: 5, colour: 'blue' })
  assert.throws(() => older.decoderOf!({ text: newer.text }), {
    code: 'EVENT_UNDECODABLE',
    message: /does not resolve/,
  })
  assert.throws(() => newer.decoderOf!({ text: '{"type":"nothing"}' }), { code: 'EVENT_UNDECODABLE' })

  const wide = record('U', field('a', ['null', 'string', 'long']))
  const narrow = record('U', field('a', ['null', 'long']))
  assert.throws(() => narrow.decoderOf!({ text: wide.text }), { code: 'EVENT_UNDECODABLE', message: /"string"/ })
  assert.deepEqual(plain(wide.decoderOf!({ text: narrow.text })(narrow.encode({ a: 5 }))), { a: 5 })

  const states = (...symbols: string[]) => ({ type: 'enum', name: 'State', symbols, default: 'open' })
  const read2 = record('R', field('state', states('open', 'paid')))
  const wrote = record('R', field('state', states('open', 'refunded')))
  const bytes = wrote.encode({ state: 'refunded' })
  assert.deepEqual(plain(read2.decoderOf!({ text: wrote.text })(bytes)), { state: 'open' })
})

test('a text that is no schema, and a file that is not there, are refused at once', async () => {
  const cases = ['{', '{"type":"nothing"}', '{"type":"record","name":"1x","fields":[]}']
  for (const text of cases) assert.throws(() => avroSchema({ text }), { code: 'CONFIG_INVALID' }, text)
  assert.throws(() => avroSchema({ file: '/nowhere.avsc' }), { code: 'CONFIG_INVALID', message: /nowhere\.avsc/ })

  const folder = await mkdtemp(join(tmpdir(), 'forebay-avro-'))
  try {
    const file = join(folder, 'id.avsc')
    await writeFile(file, '"string"')
    const schema = avroSchema<string>({ file: pathToFileURL(file) })
    assert.equal(schema.decode(schema.encode('ö')), 'ö')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('types of other files are imported by name', () => {
  const line = { name: 'shop.Line', text: JSON.stringify({ type: 'record', name: 'shop.Line', fields: [] }) }
  const text = JSON.stringify({ type: 'record', name: 'shop.Cart', fields: [field('line', 'shop.Line')] })
  assert.throws(() => avroSchema({ text }), /shop\.Line/)
  const cart = avroSchema<unknown>({ text, imports: [line] })
  assert.equal(cart.recordName, 'shop.Cart')
  cart.decoderOf!(cart)(cart.encode({ line: {} }))
})

test('hostile bytes end in EVENT_UNDECODABLE, and soon', () => {
  const bytes = order.encode(AN_ORDER)
  const hugeCount = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f])
  const nulls = avroSchema<unknown>({ text: '{"type":"array","items":"null"}' })
  const ints = avroSchema<unknown>({ text: '{"type":"array","items":"int"}' })
  const map = avroSchema<unknown>({ text: '{"type":"map","values":"int"}' })
  const list = record('List', field('next', ['null', 'List']))
  const text = avroSchema<string>({ text: 'string' })
  const hostile: [string, () => unknown][] = [
    ['trailing bytes', () => order.decode(Buffer.concat([bytes, Buffer.from([0])]))],
    ['many items of no bytes', () => nulls.decode(Buffer.concat([hugeCount, Buffer.from([0])]))],
    ['many items that are not there', () => ints.decode(hugeCount)],
    ['blocks of a length below zero', () => ints.decode(Buffer.from([1, 1, 1]))],
    ['a number without end', () => text.decode(Buffer.alloc(20, 0xff))],
    ['a huge length', () => text.decode(hugeCount)],
    ['a length below zero', () => text.decode(Buffer.from([1]))],
    ['deep nesting', () => list.decode(Buffer.alloc(100_000, 2))],
    ['no branch of a union', () => list.decode(Buffer.from([8]))],
    ['no UTF-8', () => text.decode(Buffer.from([2, 0xff]))],
    ['a key that sets a prototype', () => map.decode(Buffer.from('\x02\x12__proto__\x02\x00'))],
  ]
  const began = performance.now()
  for (const [what, decode] of hostile) assert.throws(decode, { code: 'EVENT_UNDECODABLE' }, what)
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => order.decode(bytes.subarray(0, length)), { code: 'EVENT_UNDECODABLE' })
  }
  assert.ok(performance.now() - began < 2_000)
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

/** avsc makes records of a class of their own. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}
