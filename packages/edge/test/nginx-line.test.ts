import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RecordToPublish } from '@forebay/broker'
import fc from 'fast-check'
import { Decoder } from '../src/decode/decode.ts'
import { readJsonLine } from '../src/decode/json-line.ts'
import { quickNginx } from '../src/decode/nginx-quick.ts'
import { createRedaction, PARAMETERS_DEFAULT, type RedactOptions } from '../src/decode/redaction.ts'
import type { AccessRow, Row } from '../src/row.ts'
import { clock, nginxLine } from './edge-rig.ts'

const REDACT: RedactOptions = { parameters: PARAMETERS_DEFAULT, client: 'keep', members: ['cookie'] }

/** Fields of nginx's line as they are in the file, by their text: some say what no JSON writer of ours would. */
function rowOf(line: string, redact: Partial<RedactOptions> = {}): Row {
  const redaction = createRedaction({ ...REDACT, ...redact })
  const records: RecordToPublish[] = []
  const bytes = Buffer.from(`${line}\n`)
  assert.equal(
    new Decoder({ topic: 't', format: 'json', redaction, clock }, 's', 'e').decode(bytes, 0, records),
    bytes.length,
  )
  assert.equal(records.length, 1)
  return JSON.parse(Buffer.from(records[0]!.value).toString()) as Row
}

function accessOf(more: Readonly<Record<string, unknown>>, redact?: Partial<RedactOptions>): AccessRow {
  const row = rowOf(nginxLine(more), redact)
  assert.ok(row.kind === 'access')
  return row
}

test('variables of nginx become a row: numbers are numbers, of lists the last, ids are found', () => {
  const { requestId, ...row } = accessOf({})
  assert.match(requestId, /^[0-9a-f]{32}$/)
  assert.deepEqual(row, {
    ...{ v: 1, kind: 'access', time: '2026-11-21T13:55:01.123+01:00', client: '203.0.113.7' },
    ...{ path: '/v1/queues/thumbnails/tasks', query: 'page=2', status: 202, upstreamStatus: 202, connectSeconds: 0 },
    ...{ headerSeconds: 0.003, upstreamSeconds: 0.003, referer: 'https://shop.example.com/cart' },
    ...{ trace: '4bf92f3577b34da6a3ce929d0e0e4736', task: '01jd', server: 'web-1', host: 'tasks.example.com' },
    ...{ method: 'POST', protocol: 'HTTP/1.1', requestBytes: 1523, responseBytes: 412, seconds: 0.004 },
    ...{ upstream: '10.0.0.1:8080, 10.0.0.2:8080', tls: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', cache: '' },
    ...{ userAgent: 'curl/8.0', connection: 7, connectionRequests: 1 },
  })
})

/** Each with what it has to become; every line is read both ways, in plain letters and with an escape that the quick way leaves alone. */
const CASES: readonly (readonly [given: Readonly<Record<string, unknown>>, wanted: Partial<AccessRow>])[] = [
  [{ status: '000' }, { status: 0 }],
  [{ status: '009' }, { status: 0 }],
  [{ status: '' }, { status: null }],
  [{ upstreamStatus: '', connectSeconds: '-', headerSeconds: '0.001, -' }, { upstreamStatus: null }],
  [{ headerSeconds: '0.001, -' }, { headerSeconds: null }],
  [{ upstreamSeconds: '0.001 : 1.250' }, { upstreamSeconds: 1.25 }],
  [{ upstreamStatus: '502, 504 : 200' }, { upstreamStatus: 200 }],
  [{ request: '' }, { method: '', path: '', query: '' }],
  [{ request: 'GET /' }, { method: 'GET', path: '/', protocol: '' }],
  [{ request: 'nonsense' }, { method: '', path: 'nonsense' }],
  [{ request: 'nonsense?token=sesame' }, { method: '', path: 'nonsense?token=[redacted]' }],
  [{ request: 'PROPFIND /a b HTTP/1.1' }, { method: '', path: 'PROPFIND /a b HTTP/1.1' }],
  [{ request: 'M-SEARCH * HTTP/2.0' }, { method: 'M-SEARCH', path: '*', protocol: 'HTTP/2.0' }],
  [{ request: 'GET /a? HTTP/1.1' }, { path: '/a', query: '' }],
  [{ request: 'GET /a??b=1?c HTTP/1.1' }, { path: '/a', query: '?b=1?c' }],
  [{ request: 'GET /ä/%00?q=ä HTTP/1.1' }, { path: '/ä/%00', query: 'q=ä' }],
  [{ request: 'GET /a?token=sesame&x=1 HTTP/1.1' }, { path: '/a', query: 'token=[redacted]&x=1' }],
  [{ request: 'GET http://ann:sesame@a.example/ HTTP/1.1' }, { path: 'http://[redacted]@a.example/' }],
  [{ referer: 'https://a.example/?code=sesame' }, { referer: 'https://a.example/?code=[redacted]' }],
  [{ referer: 'https://ä.example/?cöde=1' }, { referer: 'https://ä.example/?cöde=1' }],
  [{ traceparent: '' }, { trace: '' }],
  [{ traceparent: 'nothing' }, { trace: '' }],
  [{ traceparent: '00-00000000000000000000000000000000-00f067aa0ba902b7-01' }, { trace: '' }],
  [{ traceparent: 'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' }, { trace: '' }],
  [
    { traceparent: '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more' },
    { trace: '4bf92f3577b34da6a3ce929d0e0e4736' },
  ],
  [{ task: '01je', location: '/v1/tasks/01jd' }, { task: '01je' }],
  [{ location: 'https://a.example/v1/tasks/01jf' }, { task: '01jf' }],
  [{ location: '/elsewhere', request: 'GET /v1/tasks/01jg/result?wait=1 HTTP/1.1' }, { task: '01jg' }],
  [{ location: '', request: 'GET /v1/tasks/ HTTP/1.1' }, { task: '' }],
  [{ task: "x' OR 1" }, { task: '' }],
  [{ requestId: 'x y' }, { requestId: '' }],
  [{ time: '2026-11-21T13:55:01-08:00', clock: 1.05 }, { time: '2026-11-21T13:55:01.050-08:00' }],
  [{ clock: 'x' }, { time: '2026-11-21T13:55:01+01:00' }],
  [{ client: 'unix:' }, { client: 'unix:' }],
  [{ userAgent: '"\\\n\u2028' }, { userAgent: '"\\\n\u2028' }],
  [{ tags: { Cookie: 'sesame', plan: 'gold' } }, { tags: { Cookie: '[redacted]', plan: 'gold' } }],
]
for (const [given, wanted] of CASES) {
  test(`${JSON.stringify(given)} is read as ${JSON.stringify(wanted)}`, () => {
    for (const more of [{}, { cache: '"' }]) {
      const row = accessOf({ ...given, ...more })
      for (const [name, value] of Object.entries(wanted)) assert.deepEqual(row[name as keyof AccessRow], value, name)
    }
  })
}

test('what has no shape of an id is kept where nobody joins by it', () => {
  const row = accessOf({ task: "x' OR 1" }) as AccessRow & { readonly claimed: object }
  assert.deepEqual(row.claimed, { task: "x' OR 1" })
})

test('addresses of clients are shortened both ways', () => {
  for (const cache of ['', '"']) assert.equal(accessOf({ cache }, { client: 'network' }).client, '203.0.113.0')
  assert.equal(accessOf({ client: '2001:db8:1:2::3' }, { client: 'network' }).client, '2001:db8:1::')
  assert.equal(accessOf({}, { client: 'drop' }).client, '')
})

test('members that have to be hidden are, whatever they are called', () => {
  for (const name of ['userAgent', 'user-agent', 'path', 'trace']) {
    const row = accessOf({}, { members: [name] }) as unknown as Record<string, unknown>
    assert.ok(Object.values(row).includes('[redacted]'), name)
  }
})

test('a line of a later version is kept as it came, for a collector that knows it', () => {
  const line = nginxLine({ nginx: 2 })
  const row = rowOf(line)
  assert.ok(row.kind === 'undecodable')
  assert.deepEqual([row.reason, Buffer.from(row.bytes, 'base64').toString()], ['not-the-format', line])
})

test('whatever is in the members, there is a row, and it has the shape of one', () => {
  const names = fc.constantFrom(...Object.keys(JSON.parse(nginxLine()) as object).filter((name) => name !== 'nginx'))
  fc.assert(
    fc.property(fc.dictionary(names, fc.jsonValue()), (more) => {
      const row = accessOf(more)
      assert.ok(typeof row.time === 'string' && typeof row.path === 'string' && typeof row.query === 'string')
      for (const name of ['status', 'upstreamStatus', 'connectSeconds', 'headerSeconds', 'upstreamSeconds'] as const) {
        assert.ok(row[name] === null || typeof row[name] === 'number', name)
      }
      assert.match(row.trace, /^(?:[0-9a-f]{32})?$/)
      assert.match(row.task, /^[\w.:-]{0,128}$/)
    }),
    { numRuns: 500 },
  )
})

test('what the quick way makes of a line, the long way makes of it too', () => {
  let quickly = 0
  for (const client of ['keep', 'network'] as const) {
    const redaction = createRedaction({ ...REDACT, client })
    const quick = quickNginx(redaction)!
    const good = nginxLine({ request: 'GET /v1/tasks/01jd/result?token=sesame&x=%20 HTTP/1.1', status: '000' })
    const change = fc.record({
      at: fc.nat(good.length - 1),
      cut: fc.nat(3),
      put: fc.oneof(
        fc.string({ unit: 'binary-ascii', maxLength: 3 }),
        fc.constantFrom('-', ', ', '0', '"', '?', '@', 'é', '&a=', '%'),
      ),
    })
    fc.assert(
      fc.property(change, ({ at, cut, put }) => {
        const line = good.slice(0, at) + put + good.slice(at + cut)
        if (line.includes('\n')) return
        const bytes = Buffer.from(`${line}\n`)
        const row = quick.row(bytes.toString('latin1'), 0)
        if (row === null) return
        quickly++
        const long = readJsonLine(bytes.subarray(0, -1).toString('latin1'), () => line, redaction)
        assert.ok(long.kind === 'rewritten')
        assert.deepEqual(JSON.parse(row.toString()), JSON.parse(long.value.toString()))
      }),
      { numRuns: 4_000 },
    )
  }
  assert.ok(quickly > 1_000, `only ${quickly} lines went the quick way`)
})
