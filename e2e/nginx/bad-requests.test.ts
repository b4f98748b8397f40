import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '@forebay/broker'
import { checkLines, type Row } from '@forebay/edge'
import { type GeneratedNginx, startGeneratedNginx } from '../../scripts/rig/nginx.ts'
import { type ScriptedGateways, scriptedGateways } from './scripted-gateway.ts'

let gateways: ScriptedGateways
let nginx: GeneratedNginx
/** What each was called in its answer, and is in the log. */
const ids = new Map<string, string>()
before(async () => {
  gateways = await scriptedGateways(1)
  nginx = await startGeneratedNginx([{ http: gateways.addresses[0]!, grpc: '127.0.0.1:9' }])
})
after(async () => {
  await nginx.stop()
  await gateways[Symbol.asyncDispose]()
})

interface BadRequest {
  readonly what: string
  readonly bytes: string
  /** Default 400 BAD_REQUEST. */
  readonly answer?: readonly [status: number, code: string]
  /** In the log, where nginx could read them. */
  readonly logged?: readonly [method: string, path: string]
}

/** Its bytes are no UTF-8, so its row holds them undecoded. */
const TLS = 'the begin of a TLS handshake'
const HOST = 'Host: a\r\n'
const TOO_LONG = [431, 'HEADERS_TOO_LARGE'] as const
const NOT_HERE = [404, 'ROUTE_NOT_FOUND'] as const

const BAD: readonly BadRequest[] = [
  // The request line: nginx has no address then.
  { what: 'words', bytes: 'hello there\r\n\r\n' },
  { what: TLS, bytes: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' },
  { what: 'the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
  { what: 'a version that is none', bytes: `GET /?token=sesame HTTP/9.9\r\n${HOST}\r\n` },
  { what: 'a space in the address', bytes: `GET /a b HTTP/1.1\r\n${HOST}\r\n` },
  { what: 'a control character in the address', bytes: `POST /a\x01b HTTP/1.1\r\n${HOST}\r\n` },
  { what: 'half a percent escape', bytes: `GET /%zz HTTP/1.1\r\n${HOST}\r\n` },
  { what: 'an escaped NUL', bytes: `GET /%00 HTTP/1.1\r\n${HOST}\r\n` },
  { what: 'an address above the root', bytes: `POST /../../x HTTP/1.1\r\n${HOST}\r\n` },
  { what: 'a method in lower case', bytes: `get / HTTP/1.1\r\n${HOST}\r\n` },
  { what: 'CONNECT', bytes: `CONNECT a:80 HTTP/1.1\r\n${HOST}\r\n` },
  { what: 'a star', bytes: `OPTIONS * HTTP/1.1\r\n${HOST}\r\n` },
  {
    what: 'an address that is too long',
    bytes: `GET /${'x'.repeat(20_000)} HTTP/1.1\r\n${HOST}\r\n`,
    answer: TOO_LONG,
  },
  // Headers and body: the address is known, and stays in the log with the method.
  { what: 'a header without a colon', bytes: 'PUT /x HTTP/1.1\r\nHost a\r\n\r\n', logged: ['PUT', '/x'] },
  { what: 'a NUL in a header', bytes: `POST /x HTTP/1.1\r\n${HOST}A: b\x00c\r\n\r\n`, logged: ['POST', '/x'] },
  { what: 'no Host', bytes: 'POST /x HTTP/1.1\r\n\r\n', logged: ['POST', '/x'] },
  { what: 'two Hosts', bytes: `DELETE /x HTTP/1.1\r\n${HOST}${HOST}\r\n`, logged: ['DELETE', '/x'] },
  { what: 'a Host with a slash', bytes: 'POST /x HTTP/1.1\r\nHost: a/b\r\n\r\n', logged: ['POST', '/x'] },
  { what: 'a length that is no number', bytes: post('Content-Length: x\r\n'), logged: ['POST', '/x'] },
  { what: 'two lengths', bytes: post('Content-Length: 1\r\nContent-Length: 2\r\n', 'ab'), logged: ['POST', '/x'] },
  {
    what: 'a length and chunks',
    bytes: post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    logged: ['POST', '/x'],
  },
  { what: 'an encoding that nobody knows', bytes: post('Transfer-Encoding: gzip\r\n'), logged: ['POST', '/x'] },
  { what: 'a chunk without a length', bytes: post('Transfer-Encoding: chunked\r\n', 'zz\r\n'), logged: ['POST', '/x'] },
  {
    what: 'a header that is too long',
    bytes: post(`X: ${'x'.repeat(20_000)}\r\n`),
    answer: TOO_LONG,
    logged: ['POST', '/x'],
  },
  {
    what: 'too many headers',
    bytes: post(`X: ${'x'.repeat(8_000)}\r\n`.repeat(12)),
    answer: TOO_LONG,
    logged: ['POST', '/x'],
  },
  {
    what: 'TRACE',
    bytes: `TRACE /x HTTP/1.1\r\n${HOST}\r\n`,
    answer: [405, 'METHOD_NOT_ALLOWED'],
    logged: ['TRACE', '/x'],
  },
  // The addresses of the answers themselves.
  ...['bad_request', 'no_method', 'long_headers'].map((name): BadRequest => {
    const path = `/.forebay/answers/${name}`
    return { what: path, bytes: `GET ${path} HTTP/1.1\r\n${HOST}\r\n`, answer: NOT_HERE, logged: ['GET', path] }
  }),
]

for (const { what, bytes, answer: [status, code] = [400, 'BAD_REQUEST'] } of BAD) {
  test(`${what}: ${status} ${code}`, async () => {
    const heard = await exchange(bytes)
    assert.equal(heard.status, status, heard.body)
    assert.equal(heard.headers['content-type'], 'application/problem+json')
    const problem = JSON.parse(heard.body) as Record<string, unknown>
    assert.deepEqual([problem.status, problem.code], [status, code])
    ids.set(what, heard.headers['x-request-id']!)
  })
}

test('over gRPC what cannot be read is said in headers of gRPC', async () => {
  const session = connectHttp2(`http://${nginx.grpc}`)
  try {
    const cases = [
      [{ ':path': 'no-slash' }, '3', 'BAD_REQUEST'],
      [{ ':path': '/%zz' }, '3', 'BAD_REQUEST'],
      [{ ':path': '/../..' }, '3', 'BAD_REQUEST'],
      [{ ':path': '/a', ':method': 'TRACE' }, '12', 'ROUTE_NOT_FOUND'],
      [{ ':path': '/.forebay/answers/grpc_bad_request' }, '12', 'ROUTE_NOT_FOUND'],
      [{ ':path': '/forebay.worker.v1.WorkerService/Work' }, '12', 'ROUTE_NOT_FOUND'],
    ] as const
    for (const [given, status, code] of cases) {
      const stream = session.request({ ':method': 'POST', 'content-type': 'application/grpc', ...given }).end()
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
      stream.resume()
      const { 'grpc-status': said, 'forebay-error': named, 'content-type': type, ':status': http } = headers
      assert.deepEqual([http, type, said, named], [200, 'application/grpc', status, code], given[':path'])
      ids.set(`gRPC ${given[':path']}`, String(headers['x-request-id']))
    }
  } finally {
    session.close()
  }
})

test('each of them has one row in the log, with method and address where nginx could read them', async () => {
  assert.ok([...ids.values()].every((id) => /^[\da-f]{32}$/.test(id)))
  const rows = await rowsOf(new Set(ids.values()))
  for (const { what, answer: [status] = [400], logged } of BAD) {
    const row = rows.get(ids.get(what)!)!
    if (row.kind !== 'access') assert.equal(what, TLS)
    else {
      assert.equal(row.status, status, what)
      if (logged !== undefined) assert.deepEqual([row.method, row.path], logged, what)
    }
  }
})

test('none of them came to a gateway', () => {
  assert.equal(gateways.seen.length, 0)
})

test('nothing of all that is a fault of nginx', () => {
  assert.doesNotMatch(nginx.output(), /empty URI|\[(alert|crit|emerg)\]/)
})

function post(headers: string, body = ''): string {
  return `POST /x HTTP/1.1\r\n${HOST}${headers}\r\n${body}`
}

interface Heard {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Until the answer is there as a whole. */
async function exchange(bytes: string): Promise<Heard> {
  const socket = connect(Number(new URL(nginx.url).port), '127.0.0.1')
  socket.setEncoding('latin1').write(bytes, 'latin1')
  let text = ''
  for await (const piece of socket) {
    text += String(piece)
    const heard = readAnswer(text)
    if (heard !== null) return heard
  }
  throw new Error(`nginx closed the connection after ${JSON.stringify(text)}`)
}

function readAnswer(text: string): Heard | null {
  const [head, body] = text.split(/\r\n\r\n(.*)/s)
  if (head === undefined || body === undefined) return null
  const [line, ...lines] = head.split('\r\n')
  const named = lines.map((one) => one.split(/: (.*)/s)).map(([name, value]) => [name!.toLowerCase(), value!])
  const headers = Object.fromEntries(named) as Record<string, string>
  if (body.length < Number(headers['content-length'])) return null
  return { status: Number(line!.split(' ')[1]), headers, body }
}

/** What the collector makes of the lines of these requests; nginx writes its lines once a second. */
async function rowsOf(requestIds: ReadonlySet<string>): Promise<Map<string, Row>> {
  for (;;) {
    const written = readFileSync(nginx.accessLog)
    const { rows } = checkLines(written.subarray(0, written.lastIndexOf('\n') + 1), 'json', systemClock)
    const ours = rows.map((row) => [requestIdIn(row), row] as const).filter(([id]) => requestIds.has(id))
    if (ours.length >= requestIds.size) {
      assert.equal(ours.length, requestIds.size)
      return new Map(ours)
    }
    await sleep(50)
  }
}

function requestIdIn(row: Row): string {
  if (row.kind === 'access') return row.requestId
  const text = row.kind === 'undecodable' ? Buffer.from(row.bytes, 'base64').toString('latin1') : ''
  return /"requestId":"([\da-f]{32})"/.exec(text)?.[1] ?? ''
}
