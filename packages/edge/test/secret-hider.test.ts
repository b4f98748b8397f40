import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RecordToPublish } from '@forebay/broker'
import fc from 'fast-check'
import { Decoder, LINE_BYTES_MAX, type LineFormat } from '../src/decode/decode.ts'
import { createRedaction, MEMBERS_DEFAULT, PARAMETERS_DEFAULT, type RedactOptions } from '../src/decode/redaction.ts'
import { SecretHider } from '../src/decode/secret-hider.ts'
import type { UndecodableRow } from '../src/row.ts'
import { readPosition } from '../src/source-position.ts'
import { accessLine, clock } from './edge-rig.ts'

const REDACT: RedactOptions = { parameters: PARAMETERS_DEFAULT, client: 'keep', members: MEMBERS_DEFAULT }

function decoderOf(format: LineFormat = 'json', redact: Partial<RedactOptions> = {}, within = false): Decoder {
  const redaction = createRedaction({ ...REDACT, ...redact })
  return new Decoder({ topic: 't', format, redaction, clock }, 's', 'e', within)
}

/** What became of one line, which must not be readable. */
function undecodable(line: Buffer | string, made = decoderOf()): { row: UndecodableRow; text: string } {
  const [only] = undecodables(Buffer.from(line as string), made)
  return only!
}

function undecodables(line: Buffer, made: Decoder): { row: UndecodableRow; text: string }[] {
  const records: RecordToPublish[] = []
  made.decode(Buffer.concat([line, Buffer.from('\n')]), 0, records)
  let place = 0
  return records.map((record) => {
    const { first, end } = readPosition(record)!
    assert.equal(first, place, 'the place is that of the line as it came')
    place = end
    const row = JSON.parse(Buffer.from(record.value!).toString()) as UndecodableRow
    assert.equal(row.kind, 'undecodable')
    return { row, text: Buffer.from(row.bytes, 'base64').toString('latin1') }
  })
}

const BROKEN: readonly (readonly [what: string, line: string, shown: string])[] = [
  ['a query', '{"uri":"/a?x=1&token=sesame&y=2 HTTP', '{"uri":"/a?x=1&token=[redacted]&y=2 HTTP'],
  ['a name in disguise', '/a?%74oken=sesame&API-KEY=sesame&b', '/a?%74oken=[redacted]&API-KEY=[redacted]&b'],
  ['a value that holds a name', '/a?to=token=sesame&y=2', '/a?to=token=[redacted]&y=2'],
  ['an escaped quote', '{"uri":"/a?token=ses\\"ame&y"', '{"uri":"/a?token=[redacted]&y"'],
  ['a member', '{"cookie":"a=b; sid=sesame","x":1', '{"cookie":"[redacted]","x":1'],
  ['a member by another spelling', '{"Set_Cookie" : "sesame","x":1', '{"Set_Cookie" : "[redacted]","x":1'],
  ['a value with a quote in it', '{"password":"ses\\"ame","x":1', '{"password":"[redacted]","x":1'],
  ['a number', '{"token":12345,"x":1', '{"token":[redacted],"x":1'],
  ['a document', '{"secret":{"a":["sesame"]},"x":1', '{"secret":[redacted]'],
  [
    'JSON in JSON',
    '{"body":"{\\"token\\":\\"sesame\\",\\"x\\":1}',
    '{"body":"{\\"token\\":\\"[redacted]\\",\\"x\\":1}',
  ],
  ['JSON as nginx escapes it', 'a {\\x22token\\x22:\\x22sesame\\x22}', 'a {\\x22token\\x22:\\x22[redacted]\\x22}'],
  ['single quotes', "{'token': 'sesame', 'x': 1}", "{'token': '[redacted]', 'x': 1}"],
  ['a header', 'Authorization: Basic c2VzYW1l', 'Authorization: [redacted]'],
  [
    'headers in a text',
    '{"raw":"A: b\\r\\nCookie: a=b; c=d\\r\\nX: y"',
    '{"raw":"A: b\\r\\nCookie: [redacted]\\r\\nX: y"',
  ],
  ['a bearer', 'sent Bearer ses.ame-1 to b', 'sent Bearer [redacted] to b'],
  ['a pair of a log', 'level=info password="open sesame" user=ann', 'level=info password="[redacted]" user=ann'],
  ['a user', '{"referer":"https://ann:sesame@a.example/x"', '{"referer":"https://[redacted]@a.example/x"'],
  ['a user that is cut', '{"referer":"https://ann:sesa', '{"referer":"https://[redacted]'],
  ['a value that is cut', '{"uri":"/a?token=sesa', '{"uri":"/a?token=[redacted]'],
]
for (const [what, line, shown] of BROKEN) {
  test(`${what} that cannot be read keeps all but its secret, and says so`, () => {
    const { row, text } = undecodable(line)
    assert.equal(text, shown)
    assert.equal(row.redacted, true)
    const again = undecodable(text)
    assert.deepEqual([again.text, again.row.redacted], [text, undefined])
  })
}

const KEPT: readonly string[] = [
  'hello there',
  '{"v":1,"kind":"access","path":"/a',
  '[1,2]',
  '',
  '{"token":"","cookie":null,"x":1',
  'GET /a?tokens=1&x=token HTTP/1.1',
  '2026-11-21T13:55:01.123+00:00 http://a.example:80/x user@a.example std::string',
]
for (const line of KEPT) {
  test(`${JSON.stringify(line)} holds no secret and stays`, () => {
    const { row, text } = undecodable(line)
    assert.equal(text, line)
    assert.equal(row.redacted, undefined)
  })
}

test('addresses of clients are shortened as in rows that can be read', () => {
  const line = '{"client":"203.0.113.77","time":"13:55:01","peer":"2001:db8:1:2::3"'
  assert.equal(undecodable(line).text, line)
  const { text } = undecodable(line, decoderOf('json', { client: 'network' }))
  assert.equal(text, '{"client":"203.0.113.0","time":"13:55:01","peer":"2001:db8:1::"')
  const dropped = undecodable(line, decoderOf('json', { client: 'drop' }))
  assert.equal(dropped.text, '{"client":"","time":"13:55:01","peer":""')
})

test('where nothing is to be hidden, lines stay as they came', () => {
  const nothing = decoderOf('json', { parameters: [], members: [] })
  assert.equal(undecodable('/a?token=sesame Bearer sesame', nothing).text, '/a?token=sesame Bearer sesame')
  const all = decoderOf('json', { parameters: 'all', members: [] })
  assert.equal(undecodable('/a?x=sesame&y=sesame z', all).text, '/a?x=[redacted]&y=[redacted] z')
})

const SECRET = 'sesame0f9c'
const PLANTS: readonly string[] = [
  `?token=${SECRET}&`,
  `&API_key=${SECRET} `,
  `"cookie":"a=1; sid=${SECRET}; b=2"`,
  `"token": "x\\"${SECRET}"`,
  `\\"password\\":\\"${SECRET}\\"`,
  `"secret":{"a":"}${SECRET}"}`,
  `"proxy-authorization":["Basic x","${SECRET}"]`,
  ` Authorization: Digest user="ann", response=${SECRET}\\r\\n`.replace('"ann"', 'ann'),
  ` bearer ${SECRET},`,
  `"https://ann:${SECRET}@a.example/"`,
]
/** Bytes of any kind around secrets, cut anywhere but within a secret's name, with bits that were turned over. */
const spoilt = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...PLANTS).map((text) => ({ text, isPlant: true })) },
      {
        weight: 4,
        arbitrary: fc
          .oneof(
            fc.constantFrom(
              '{"v":1,"uri":"/a',
              '","status":200',
              'x=1&',
              '"',
              '\\',
              '?',
              '&',
              '=',
              ':',
              "'",
              '{',
              '}',
              '€',
              ' ',
            ),
            fc
              .uint8Array({ maxLength: 12 })
              .map((bytes) => Buffer.from(bytes).toString('latin1').replaceAll('\n', ' ')),
          )
          .map((text) => ({ text, isPlant: false })),
      },
    ),
    { minLength: 1, maxLength: 24 },
  )
  .chain((parts) =>
    fc.record({
      parts: fc.constant(parts),
      flips: fc.array(fc.record({ at: fc.nat(400), bit: fc.nat(7) }), { maxLength: 12 }),
      cut: fc.nat(600),
    }),
  )
  .map(({ parts, flips, cut }) => {
    const bytes = Buffer.from(`!${parts.map(({ text }) => text).join('')}`, 'latin1')
    const open = [true, ...parts.flatMap(({ text, isPlant }) => Array.from(text, () => !isPlant))]
    for (const { at, bit } of flips) if (open[at] === true) bytes[at] = bytes[at]! ^ (1 << bit)
    for (const [at, byte] of bytes.entries()) if (byte === 10) bytes[at] = 32
    return bytes.subarray(0, Math.max(1, cut))
  })

test('no secret survives in a line that is broken, wherever it was cut and whatever became of the bytes around', () => {
  fc.assert(
    fc.property(spoilt, fc.constantFrom<LineFormat>('json', 'combined', 'log'), (line, format) => {
      const { text } = undecodable(line, decoderOf(format))
      assert.ok(!text.includes(SECRET), `${JSON.stringify(line.toString('latin1'))} → ${JSON.stringify(text)}`)
    }),
    { numRuns: 1_500 },
  )
})

test('nor any part of it in a line that is too long, wherever its pieces part it', () => {
  const redaction = createRedaction(REDACT)
  const line = fc.array(fc.constantFrom(...PLANTS, '{"x":1', ' y '), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(line, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (parts, sizes) => {
      const bytes = Buffer.from(`!${parts.join('')}`, 'latin1')
      const hider = new SecretHider(redaction)
      let shown = ''
      for (let at = 0, count = 0; at < bytes.length; count++) {
        const piece = bytes.subarray(at, at + sizes[count % sizes.length]!)
        shown += (hider.hide(piece, at > 0) ?? piece).toString('latin1')
        at += piece.length
      }
      for (let at = 0; at + 3 <= SECRET.length; at++) assert.ok(!shown.includes(SECRET.slice(at, at + 3)), shown)
    }),
    { numRuns: 1_000 },
  )
})

test('the decoder hands the pieces of a long line over as what they are', () => {
  const line = Buffer.from(`${'x '.repeat(LINE_BYTES_MAX / 2 - 8)}"cookie":"sesame and more","x":1`)
  const pieces = undecodables(line, decoderOf())
  assert.deepEqual(
    pieces.map(({ row, text }) => [row.redacted, row.continues, text.slice(-20)]),
    [
      [true, false, '"cookie":"[redacted]'],
      [true, true, '[redacted]","x":1\n'],
    ],
  )
})

test('a collector that starts within a line hides what may be the end of a secret', () => {
  const { text } = undecodable(`same","x":1,"cookie":"sesame"`, decoderOf('json', {}, true))
  assert.equal(text, '[redacted]","x":1,"cookie":"[redacted]"\n')
})

test('lines without secrets keep their bytes, whatever they are', () => {
  const harmless = fc.oneof(
    fc
      .uint8Array({ maxLength: 60 })
      .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 10 || byte === 61 ? 0 : byte)))),
    fc.constantFrom(accessLine().slice(1), accessLine().slice(0, -3)).map((line) => Buffer.from(line)),
  )
  fc.assert(
    fc.property(harmless, (line) => {
      const { row, text } = undecodable(line)
      assert.equal(text, line.toString('latin1'))
      assert.equal(row.redacted, undefined)
    }),
    { numRuns: 500 },
  )
})

test('a line that is made to be slow to search is searched in the time of its length', () => {
  for (const one of [
    'token=',
    'token:',
    '"token":"',
    '\\"token\\":\\"',
    "'token':'",
    '://a:',
    'Bearer ',
    'token\\',
    '1.1.1.',
    '::',
  ]) {
    const line = Buffer.from(one.repeat(Math.floor(LINE_BYTES_MAX / one.length)))
    const began = performance.now()
    undecodable(line, decoderOf('combined', { client: 'network' }))
    assert.ok(performance.now() - began < 3_000, one)
  }
})
