import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RecordToPublish } from '@forebay/broker'
import fc from 'fast-check'
import { Decoder, LINE_BYTES_MAX, type LineFormat } from '../src/decode/decode.ts'
import { createRedaction, PARAMETERS_DEFAULT, type RedactOptions } from '../src/decode/redaction.ts'
import type { Row } from '../src/row.ts'
import { readPosition } from '../src/source-position.ts'
import { accessLine, clock } from './edge-rig.ts'

const REDACT: RedactOptions = { parameters: PARAMETERS_DEFAULT, client: 'keep', members: ['cookie'] }

function decoder(format: LineFormat = 'json', redact: Partial<RedactOptions> = {}): Decoder {
  return new Decoder({ topic: 't', format, redaction: createRedaction({ ...REDACT, ...redact }), clock }, 's', 'e')
}

function decode(text: string | Buffer, made = decoder()): Row[] {
  const records: RecordToPublish[] = []
  const bytes = Buffer.from(text as string)
  assert.equal(made.decode(bytes, 0, records), bytes.length)
  return records.map(rowOf)
}

const rowOf = ({ value }: RecordToPublish) => JSON.parse(Buffer.from(value).toString()) as Row
const bytesOf = (row: Row) => (row.kind === 'undecodable' ? Buffer.from(row.bytes, 'base64') : null)

const HOSTILE: readonly (readonly [name: string, line: Buffer, reason: string])[] = [
  ['broken JSON', Buffer.from('{"v":1,"kind":"access","path":"/a'), 'not-json'],
  ['no object', Buffer.from('[1,2]'), 'not-an-object'],
  ['null', Buffer.from('null'), 'not-an-object'],
  ['an empty line', Buffer.alloc(0), 'not-json'],
  ['binary', Buffer.from([0, 1, 2, 0x80, 0xff, 0x0d]), 'not-utf8'],
  [
    'invalid UTF-8 in a good line',
    Buffer.concat([Buffer.from('{"v":1,"userAgent":"'), Buffer.from([0xe9]), Buffer.from('"}')]),
    'not-utf8',
  ],
  ['a raw control character', Buffer.from('{"v":1,"path":"/a\u0001"}'), 'not-json'],
]
for (const [name, line, reason] of HOSTILE) {
  test(`${name} is kept as it came, and the lines around it are rows`, () => {
    const good = accessLine()
    const rows = decode(Buffer.concat([Buffer.from(`${good}\n`), line, Buffer.from(`\n${good}\n`)]))
    assert.deepEqual(
      rows.map(({ kind }) => kind),
      ['access', 'undecodable', 'access'],
    )
    assert.deepEqual(bytesOf(rows[1]!), line)
    assert.equal(rows[1]!.kind === 'undecodable' && rows[1]!.reason, reason)
  })
}

test('CR and LF that a client tried to smuggle in stay inside their field; what has a shape of its own is not believed', () => {
  const [row] = decode(
    `${accessLine({ userAgent: 'x\r\n{"v":1,"kind":"dropped"}', trace: 'nothing', task: "x' OR 1" })}\n`,
  )
  assert.ok(row?.kind === 'access')
  assert.deepEqual([row.trace, row.task], ['', ''])
  assert.deepEqual((row as unknown as { claimed: object }).claimed, { trace: 'nothing', task: "x' OR 1" })
  assert.equal(decode('{"v":1,"kind":"dropped","lines":9}\n')[0]!.kind, 'access')
})

test('a line of a megabyte comes in pieces that hold all of it, whatever pieces it is read in', () => {
  const long = Buffer.from(`{"v":1,"path":"${'a'.repeat(1024 * 1024)}"}`)
  const bytes = Buffer.concat([Buffer.from(`${accessLine()}\n`), long, Buffer.from(`\n${accessLine()}\n`)])
  for (const step of [bytes.length, LINE_BYTES_MAX + 7]) {
    const made = decoder()
    const records: RecordToPublish[] = []
    let at = 0
    for (let end = step; at < bytes.length; end += step) at += made.decode(bytes.subarray(at, end), at, records)
    const rows = records.map(rowOf)
    assert.deepEqual([rows[0]!.kind, rows.at(-1)!.kind], ['access', 'access'])
    const pieces = rows.slice(1, -1)
    assert.deepEqual(
      Buffer.concat(pieces.map((row) => bytesOf(row)!))
        .toString()
        .trimEnd(),
      long.toString(),
    )
    let place = 0
    for (const record of records) {
      assert.equal(readPosition(record)!.first, place)
      place = readPosition(record)!.end
    }
    assert.equal(place, bytes.length)
  }
})

test('whatever bytes come, in whatever pieces, each has its place in one row and none is lost', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc.constant(Buffer.from('\n')),
    fc.constant(Buffer.from('\n{"a":1}\n')),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), fc.integer({ min: 1, max: 50 }), (pieces, step) => {
      const bytes = Buffer.concat([...pieces, Buffer.from('\n')])
      const made = decoder()
      const records: RecordToPublish[] = []
      let at = 0
      for (let end = step; at < bytes.length; end += step) at += made.decode(bytes.subarray(at, end), at, records)
      let place = 0
      for (const record of records) {
        const { first, end } = readPosition(record)!
        assert.equal(first, place)
        const raw = bytesOf(rowOf(record))
        if (raw !== null) assert.deepEqual(raw, bytes.subarray(first, end - 1))
        place = end
      }
      assert.equal(place, bytes.length)
    }),
    { numRuns: 300 },
  )
})

test('secrets are out before anything is stored: in queries however they are written, in referers, in members', () => {
  const line = {
    ...{ query: 'a=1&access_token=sesame&%74oken=sesame&API-KEY=sesame&b', path: '/x' },
    ...{ referer: 'https://ann:sesame@shop.example.com/?code=sesame&page=2', tags: { Cookie: 'sesame', user: 'ann' } },
    client: '203.0.113.77',
  }
  const [row] = decode(`${accessLine(line)}\n`, decoder('json', { client: 'network' }))
  assert.ok(row?.kind === 'access')
  assert.doesNotMatch(JSON.stringify(row), /sesame/)
  assert.equal(row.client, '203.0.113.0')
  assert.match(row.query, /^a=1&access_token=\[redacted\]&%74oken=\[redacted\]&API-KEY=\[redacted\]&b$/)
  assert.match(row.referer, /page=2$/)
  const [six] = decode(`${accessLine({ client: '2001:db8:1:2::3' })}\n`, decoder('json', { client: 'network' }))
  assert.equal(six?.kind === 'access' && six.client, '2001:db8:1::')
})

test('combined and common lines become the same rows', () => {
  const head = '203.0.113.7 - ann [21/Nov/2026:13:55:01 +0100] "GET /v1/tasks/abc/result?token=sesame HTTP/1.1" 200 412'
  const [combined] = decode(`${head} "-" "M\\x22\\xC3\\xA9"\n`, decoder('combined'))
  assert.ok(combined?.kind === 'access')
  assert.deepEqual(
    [combined.time, combined.method, combined.path, combined.query, combined.status, combined.responseBytes],
    ['2026-11-21T13:55:01.000+01:00', 'GET', '/v1/tasks/abc/result', 'token=[redacted]', 200, 412],
  )
  assert.deepEqual([combined.userAgent, combined.referer, combined.task, combined.seconds], ['M"é', '', 'abc', null])
  const [common] = decode(`${head}\n`, decoder('common'))
  assert.equal(common?.kind === 'access' && common.client, '203.0.113.7')
  assert.deepEqual(
    decode(`${head}\nnothing\n`, decoder('combined')).map((row) => row.kind === 'undecodable' && row.reason),
    ['not-the-format', 'not-the-format'],
  )
})
