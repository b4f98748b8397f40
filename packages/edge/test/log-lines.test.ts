import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RecordToPublish } from '@forebay/broker'
import type { LogRow, UndecodableRow } from '@forebay/edge'
import fc from 'fast-check'
import { Decoder } from '../src/decode/decode.ts'
import { createRedaction, MEMBERS_DEFAULT, PARAMETERS_DEFAULT } from '../src/decode/redaction.ts'
import { clock } from './edge-rig.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

type LineRow = Omit<LogRow, 'kind'> & Pick<UndecodableRow, 'reason' | 'bytes'> & { readonly kind: string }

function rowsOf(...lines: readonly (object | string | Buffer)[]): readonly LineRow[] {
  const redaction = createRedaction({ parameters: PARAMETERS_DEFAULT, client: 'network', members: MEMBERS_DEFAULT })
  const decoder = new Decoder({ topic: 'logs', format: 'log', redaction, clock }, 'billing/web-1', 'e1')
  const bytes = lines.map((line) =>
    Buffer.isBuffer(line) ? line : Buffer.from(typeof line === 'string' ? line : JSON.stringify(line)),
  )
  const records: RecordToPublish[] = []
  decoder.decode(Buffer.concat(bytes.flatMap((one) => [one, Buffer.from('\n')])), 0, records)
  return records.map(({ value }) => JSON.parse(Buffer.from(value).toString()) as LineRow)
}

test("pino's lines become rows: level, time, message, trace, the rest as attributes", () => {
  const [row] = rowsOf({
    ...{ level: 50, time: 1_763_733_301_123, pid: 7, hostname: 'web-1', msg: 'no answer', trace_id: TRACE },
    ...{ span_id: SPAN, task: 't-1', orderId: 7 },
  })
  assert.deepEqual(row, {
    ...{ v: 1, kind: 'log', time: '2025-11-21T13:55:01.123Z', severity: 17, severityText: 'error', body: 'no answer' },
    ...{ service: 'billing', server: 'web-1', scope: '', event: '', trace: TRACE, span: SPAN, task: 't-1' },
    ...{ attributes: { pid: 7, orderId: 7 }, resource: {} },
  })
})

test('other loggers are understood by the names and times that they write', () => {
  const rows = rowsOf(
    { level: 'WARNING', ts: 1_763_733_301.5, message: 'zap', logger: 'db', service: 'ledger' },
    { severity: 'critical', '@timestamp': '2025-11-21T13:55:01.123456789Z', event: 'structlog' },
    { lvl: 'notice', time: 1_763_733_301_123_456, msg: 'µs', traceparent: `00-${TRACE}-${SPAN}-01` },
  )
  assert.deepEqual(
    rows.map(({ time, severity, severityText, body, service, scope }) => [
      time,
      severity,
      severityText,
      body,
      service,
      scope,
    ]),
    [
      ['2025-11-21T13:55:01.500Z', 13, 'WARNING', 'zap', 'ledger', 'db'],
      ['2025-11-21T13:55:01.123456Z', 21, 'critical', 'structlog', 'billing', ''],
      ['2025-11-21T13:55:01.123Z', 10, 'notice', 'µs', 'billing', ''],
    ],
  )
  assert.deepEqual([rows[2]!.trace, rows[2]!.span, rows[2]!.attributes], [TRACE, SPAN, {}])
})

test('secrets are hidden wherever a logger puts them', () => {
  const [row] = rowsOf({
    msg: 'in',
    password: 'sesame',
    req: { url: '/in?token=sesame&page=2', headers: { authorization: 'Bearer sesame' }, remoteAddress: '203.0.113.7' },
    'http.request.header.authorization': ['Bearer sesame'],
    'url.query': 'code=sesame',
  })
  assert.doesNotMatch(JSON.stringify(row), /sesame|113\.7/)
  assert.match(JSON.stringify(row), /page=2/)
})

test('ids of the wrong shape are claimed, and a time that is none is kept beside', () => {
  const [row] = rowsOf({ msg: 'x', trace_id: 'zz', span_id: '0000000000000000', task: 'a b', time: 'yesterday' })
  assert.deepEqual([row!.trace, row!.span, row!.task], ['', '', ''])
  assert.deepEqual(row!.attributes, { time: 'yesterday', claimed: { trace: 'zz', task: 'a b' } })
  assert.ok(Math.abs(Date.parse(row!.time) - Date.now()) < 60_000)
})

test('what is no JSON object is kept as it came, and the lines beside it are read', () => {
  const rows = rowsOf('plain text', '[1]', { msg: 'fine' }, Buffer.from([0xff, 0xfe]), 'x'.repeat(300_000))
  assert.deepEqual(
    rows.map(({ kind, reason }) => [kind, reason]),
    [
      ['undecodable', 'not-json'],
      ['undecodable', 'not-an-object'],
      ['log', undefined],
      ['undecodable', 'not-utf8'],
      ['undecodable', 'too-long'],
      ['undecodable', 'too-long'],
    ],
  )
  assert.equal(Buffer.from(rows[0]!.bytes, 'base64').toString(), 'plain text')
})

test('any JSON object becomes a row, and a row that is read again is the same row', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (line) => {
      const [row] = rowsOf(line)
      assert.equal(row!.kind, 'log')
      for (const name of ['time', 'body', 'service', 'trace', 'task'] as const)
        assert.equal(typeof row![name], 'string')
      assert.deepEqual(rowsOf(row!)[0], row)
    }),
    { numRuns: 300 },
  )
})
