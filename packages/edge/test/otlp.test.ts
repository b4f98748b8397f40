import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire'
import { type Collector, type CollectorOptions, LOGS_TOPIC } from '@forebay/edge'
import fc from 'fast-check'
import { OtlpMalformed, type OtlpRecord } from '../src/otlp/otlp-record.ts'
import { readOtlpJson } from '../src/otlp/read-json.ts'
import { readOtlpProtobuf } from '../src/otlp/read-protobuf.ts'
import { collectOn, collectorOptions, openLog, rowsUntil, type Seen, temporaryFolder } from './edge-rig.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const LOOPBACK = { host: '127.0.0.1', port: 0 }
const JSON_TYPE = 'application/json'
const PROTOBUF_TYPE = 'application/x-protobuf'

interface Running extends AsyncDisposable {
  readonly collector: Collector
  post(body: Buffer | string, headers: Record<string, string>): Promise<Response>
  rows(count: number): Promise<Seen[]>
}

async function run(more: Partial<CollectorOptions> = {}, publishes = true): Promise<Running> {
  const folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const away = () => Promise.reject(new Error('away'))
  const collector = await collectOn(
    publishes ? broker : { ...broker, capabilities: broker.capabilities, publish: away },
    collectorOptions(folder.path, { http: { listen: LOOPBACK, unix: null, keys: [] }, ...more }),
  )
  const url = `http://127.0.0.1:${collector.ports.http}/v1/logs`
  return {
    collector,
    post: (body, headers) => fetch(url, { method: 'POST', body, headers }),
    rows: (count) => rowsUntil(broker, (seen) => seen.length >= count, LOGS_TOPIC),
    async [Symbol.asyncDispose]() {
      await collector.stop({ graceMs: 500 })
      await broker.close()
      folder[Symbol.dispose]()
    },
  }
}

function request(...logRecords: readonly unknown[]) {
  const attributes = [
    { key: 'service.name', value: { stringValue: 'billing' } },
    { key: 'host.name', value: { stringValue: 'web-1' } },
    { key: 'deployment', value: { stringValue: 'blue' } },
  ]
  return { resourceLogs: [{ resource: { attributes }, scopeLogs: [{ scope: { name: 'ledger' }, logRecords }] }] }
}

const RECORD = {
  ...{ timeUnixNano: '1763733301123456789', severityNumber: 17, severityText: 'Error', traceId: TRACE, spanId: SPAN },
  body: { stringValue: 'no answer' },
  attributes: [
    { key: 'attempt', value: { intValue: '3' } },
    { key: 'ratio', value: { doubleValue: 0.5 } },
    { key: 'forebay.task', value: { stringValue: 't-1' } },
    { key: 'http.request.header.authorization', value: { arrayValue: { values: [{ stringValue: 'Bearer sesame' }] } } },
    { key: 'url.full', value: { stringValue: 'https://a.example/?token=sesame&page=2' } },
  ],
}

test('OTLP as JSON: each record is a row, redacted, with its trace, task and service', async () => {
  await using running = await run({
    redact: { parameters: ['token'], client: 'keep', members: ['authorization'] },
  })
  const answered = await running.post(JSON.stringify(request(RECORD, { body: { stringValue: 'two' } })), {
    'content-type': JSON_TYPE,
  })
  assert.deepEqual([answered.status, await answered.json()], [200, {}])
  const rows = await running.rows(2)
  assert.deepEqual(rows[0]!.row, {
    ...{ v: 1, kind: 'log', time: '2025-11-21T13:55:01.123456Z', severity: 17, severityText: 'Error' },
    ...{ body: 'no answer', service: 'billing', server: 'web-1', scope: 'ledger', event: '', trace: TRACE, span: SPAN },
    task: 't-1',
    attributes: {
      ...{ attempt: 3, ratio: 0.5, 'http.request.header.authorization': '[redacted]' },
      'url.full': 'https://a.example/?token=[redacted]&page=2',
    },
    resource: { deployment: 'blue' },
  })
  assert.deepEqual(
    rows.map(({ position: { source, first, end } }) => [source, first, end]),
    [
      ['web-1:otlp', 0, 1],
      ['web-1:otlp', 1, 2],
    ],
  )
})

test('OTLP as gzipped protobuf: the same row as from JSON', async () => {
  await using running = await run()
  const headers = { 'content-type': PROTOBUF_TYPE, 'content-encoding': 'gzip' }
  const body = encode(request(RECORD))
  const answered = await running.post(gzipSync(body), headers)
  assert.deepEqual([answered.status, (await answered.arrayBuffer()).byteLength], [200, 0])
  assert.equal((await running.post(JSON.stringify(request(RECORD)), { 'content-type': JSON_TYPE })).status, 200)
  const [one, other] = await running.rows(2)
  assert.deepEqual(one!.row, other!.row)
})

test('what cannot be read is kept as it came beside what can, and the answer warns of it with nothing rejected', async () => {
  await using running = await run()
  const long = { body: { stringValue: 'x'.repeat(300_000) } }
  const asJson = await running.post(JSON.stringify(request(RECORD, 7, { severityNumber: 'high' }, long)), {
    'content-type': JSON_TYPE,
  })
  const { partialSuccess } = (await asJson.json()) as { partialSuccess: object }
  assert.deepEqual(partialSuccess, {
    errorMessage: '3 of 4 log records could not be read as rows; they are kept as they came.',
  })
  // A body whose text is not UTF-8, and a record that is cut short.
  const odd = [Buffer.from([0x2a, 3, 0x0a, 1, 0xff]), Buffer.from([0x2a, 9, 1])]
  const asProtobuf = await running.post(encode(request(), odd), { 'content-type': PROTOBUF_TYPE })
  assert.match(Buffer.from(await asProtobuf.arrayBuffer()).toString('latin1'), /2 of 2 log records/)
  const rows = (await running.rows(7)).map(({ row }) => row)
  assert.deepEqual(
    rows.map((row) => (row.kind === 'undecodable' ? row.reason : row.kind)),
    ['log', 'not-the-format', 'not-the-format', 'too-long', 'too-long', 'not-utf8', 'not-the-format'],
  )
})

test('what makes no sense is refused as OTLP says, once for all, and the collector goes on', async () => {
  await using running = await run()
  const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024))
  const heavy = request(...Array.from({ length: 2_000 }, () => ({})))
  heavy.resourceLogs[0]!.resource.attributes.push({ key: 'big', value: { stringValue: 'x'.repeat(10_000) } })
  const refused: readonly [body: Buffer | string, headers: Record<string, string>, status: number][] = [
    ['{"resourceLogs": 7}', { 'content-type': JSON_TYPE }, 400],
    ['nothing', { 'content-type': JSON_TYPE }, 400],
    [Buffer.from([0x0a, 0x7f, 1]), { 'content-type': PROTOBUF_TYPE }, 400],
    ['{}', { 'content-type': 'text/plain' }, 400],
    ['{}', { 'content-type': JSON_TYPE, 'content-encoding': 'br' }, 400],
    ['{}', { 'content-type': JSON_TYPE, 'content-encoding': 'gzip' }, 400],
    [bomb, { 'content-type': PROTOBUF_TYPE, 'content-encoding': 'gzip' }, 413],
    [JSON.stringify(heavy), { 'content-type': JSON_TYPE }, 413],
  ]
  for (const [body, headers, status] of refused) {
    const answered = await running.post(body, headers)
    assert.equal(answered.status, status, String(body).slice(0, 50))
    const isJson = headers['content-type'] === JSON_TYPE
    assert.equal(answered.headers.get('content-type'), isJson ? JSON_TYPE : PROTOBUF_TYPE)
    if (isJson) assert.equal(((await answered.json()) as { code: number }).code, status === 413 ? 8 : 3)
    else assert.equal(new BinaryReader(new Uint8Array(await answered.arrayBuffer())).tag()[0], 1)
  }
  assert.equal((await running.post(JSON.stringify(request(RECORD)), { 'content-type': JSON_TYPE })).status, 200)
  assert.equal((await running.rows(1))[0]!.row.kind, 'log')
})

test('a full spool is 503 with Retry-After, and nothing of that request was kept', async () => {
  await using running = await run({ spool: { bytesMax: 20_000, whenFull: 'refuse' } }, false)
  const body = JSON.stringify(request(...Array.from({ length: 20 }, () => RECORD)))
  let answered = await running.post(body, { 'content-type': JSON_TYPE })
  for (let kept = 0; answered.status === 200 && kept < 10; kept++) {
    answered = await running.post(body, { 'content-type': JSON_TYPE })
  }
  assert.deepEqual([answered.status, answered.headers.get('retry-after')], [503, '5'])
  assert.equal(((await answered.json()) as { code: number }).code, 14)
})

test('bytes of any kind are rows, odd rows or one refusal, never anything else', () => {
  const sound = encode(request(RECORD, RECORD))
  const read = (records: Iterable<OtlpRecord>) => {
    try {
      for (const one of records) assert.ok(one.kind === 'record' || one.bytes.length >= 0)
    } catch (thrown) {
      assert.ok(thrown instanceof OtlpMalformed, String(thrown))
    }
  }
  fc.assert(
    fc.property(fc.nat(sound.length - 1), fc.nat(255), fc.uint8Array({ maxLength: 300 }), (at, value, noise) => {
      const damaged = Buffer.from(sound)
      damaged[at] = value
      read(readOtlpProtobuf(damaged))
      read(readOtlpProtobuf(damaged.subarray(0, at)))
      read(readOtlpProtobuf(Buffer.from(noise)))
      read(readOtlpJson(Buffer.from(noise)))
    }),
    { numRuns: 500 },
  )
  let deep: object = { stringValue: 'x' }
  for (let depth = 0; depth < 5_000; depth++) deep = { arrayValue: { values: [deep] } }
  const [one] = readOtlpJson(Buffer.from(JSON.stringify(request({ body: deep }))))
  assert.equal(one!.kind, 'odd')
})

/** As opentelemetry.proto.logs.v1 numbers its fields; `odd` are further records. */
function encode({ resourceLogs }: ReturnType<typeof request>, odd: readonly Buffer[] = []): Buffer {
  const writer = new BinaryWriter()
  for (const { resource, scopeLogs } of resourceLogs) {
    writer.tag(1, 2).fork()
    // Behind what it is about, as protobuf allows.
    for (const { scope, logRecords } of scopeLogs) {
      writer.tag(2, 2).fork()
      for (const record of logRecords as (typeof RECORD)[]) encodeRecord(writer.tag(2, 2).fork(), record).join()
      for (const one of odd) writer.tag(2, 2).bytes(one)
      writer.tag(1, 2).fork().tag(1, 2).string(scope.name).join().join()
    }
    writer.tag(1, 2).fork()
    for (const one of resource.attributes) encodeKeyValue(writer.tag(1, 2).fork(), one).join()
    writer.join().join()
  }
  return Buffer.from(writer.finish())
}

function encodeRecord(writer: BinaryWriter, record: typeof RECORD): BinaryWriter {
  writer.tag(1, 1).fixed64(record.timeUnixNano).tag(2, 0).int32(record.severityNumber)
  writer.tag(3, 2).string(record.severityText)
  encodeValue(writer.tag(5, 2).fork(), record.body).join()
  for (const one of record.attributes) encodeKeyValue(writer.tag(6, 2).fork(), one).join()
  writer.tag(9, 2).bytes(Buffer.from(record.traceId, 'hex')).tag(10, 2).bytes(Buffer.from(record.spanId, 'hex'))
  return writer.tag(8, 5).fixed32(1)
}

interface Value {
  readonly stringValue?: string
  readonly intValue?: string
  readonly doubleValue?: number
  readonly arrayValue?: { readonly values: readonly Value[] }
}

function encodeKeyValue(writer: BinaryWriter, { key, value }: { key: string; value: Value }): BinaryWriter {
  return encodeValue(writer.tag(1, 2).string(key).tag(2, 2).fork(), value).join()
}

function encodeValue(writer: BinaryWriter, value: Value): BinaryWriter {
  if (value.stringValue !== undefined) writer.tag(1, 2).string(value.stringValue)
  if (value.intValue !== undefined) writer.tag(3, 0).int64(value.intValue)
  if (value.doubleValue !== undefined) writer.tag(4, 1).double(value.doubleValue)
  if (value.arrayValue !== undefined) {
    writer.tag(5, 2).fork()
    for (const one of value.arrayValue.values) encodeValue(writer.tag(1, 2).fork(), one).join()
    writer.join()
  }
  return writer
}
