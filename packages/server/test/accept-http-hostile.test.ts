import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type DoorsRig, openDoorsRig, sendRaw } from './support/doors-rig.ts'

/** Requests that others on the road may read differently: each gets one clear refusal, and nothing is appended. */

let rig: DoorsRig
before(async () => {
  rig = await openDoorsRig({ auth: { keys: [] } })
})
after(() => rig.stop())

const POST = 'POST /v1/queues/orders/tasks HTTP/1.1\r\n'
const H = 'Host: a\r\n'

const refused: Record<string, { readonly raw: string; readonly status: number; readonly code?: string }> = {
  'Content-Length and Transfer-Encoding': {
    raw: `${POST}${H}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    status: 400,
  },
  'two Content-Length': { raw: `${POST}${H}Content-Length: 2\r\nContent-Length: 3\r\n\r\nhii`, status: 400 },
  'a list as Content-Length': { raw: `${POST}${H}Content-Length: 2, 2\r\n\r\nhi`, status: 400 },
  'a negative Content-Length': { raw: `${POST}${H}Content-Length: -1\r\n\r\n`, status: 400 },
  'an endless Content-Length': { raw: `${POST}${H}Content-Length: 99999999999999999999999\r\n\r\n`, status: 400 },
  'an unknown transfer coding': { raw: `${POST}${H}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, status: 400 },
  'gzip before chunked': {
    raw: `${POST}${H}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    status: 400,
    code: 'BAD_HEADER',
  },
  'chunked on HTTP/1.0': {
    raw: 'POST /v1/queues/orders/tasks HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
    status: 400,
  },
  'a space before the colon': { raw: `${POST}${H}X : 1\r\n\r\n`, status: 400 },
  'a folded header': { raw: `${POST}${H}X: 1\r\n 2\r\n\r\n`, status: 400 },
  'bare line feeds': { raw: 'GET /livez HTTP/1.1\nHost: a\n\n', status: 400 },
  'a bare carriage return in a value': { raw: `${POST}${H}X: a\rb\r\n\r\n`, status: 400 },
  'NUL in a value': { raw: `${POST}${H}X: a\0b\r\n\r\n`, status: 400 },
  'CR LF towards a header of ours': {
    raw: `${POST}${H}Forebay-Key: a\rfb-owner: root\r\nContent-Length: 2\r\n\r\nhi`,
    status: 400,
  },
  'a chunk size that is none': {
    raw: `${POST}${H}Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n`,
    status: 400,
  },
  'a chunk size past all numbers': {
    raw: `${POST}${H}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhi\r\n`,
    status: 400,
  },
  'a smuggled length in a trailer': {
    raw: `${POST}${H}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n`,
    status: 400,
  },
  'no Host': { raw: `${POST}Content-Length: 0\r\n\r\n`, status: 400 },
  'two Host': { raw: `${POST}Host: a\r\nHost: b\r\nContent-Length: 2\r\n\r\nhi`, status: 400, code: 'BAD_HEADER' },
  'two Authorization': {
    raw: `${POST}${H}Authorization: Bearer a\r\nAuthorization: Bearer b\r\nContent-Length: 2\r\n\r\nhi`,
    status: 400,
    code: 'BAD_HEADER',
  },
  'two Content-Type': {
    raw: `${POST}${H}Content-Type: text/plain\r\ncontent-type: text/html\r\nContent-Length: 2\r\n\r\nhi`,
    status: 400,
    code: 'BAD_HEADER',
  },
  'two Idempotency-Key': {
    raw: `${POST}${H}Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 2\r\n\r\nhi`,
    status: 400,
    code: 'BAD_HEADER',
  },
  'a Content-Type that is none': {
    raw: `${POST}${H}Content-Type: json\r\nContent-Length: 2\r\n\r\nhi`,
    status: 400,
    code: 'BAD_HEADER',
  },
  'a compressed body': {
    raw: `${POST}${H}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi`,
    status: 400,
    code: 'BAD_HEADER',
  },
  'a header of ours that does not exist': {
    raw: `${POST}${H}Forebay-Dedline: 3s\r\nContent-Length: 2\r\n\r\nhi`,
    status: 400,
    code: 'BAD_HEADER',
  },
  'a header line of 17 kB': {
    raw: `${POST}${H}X: ${'a'.repeat(17_000)}\r\n\r\n`,
    status: 431,
    code: 'HEADERS_TOO_LARGE',
  },
  'a target of 17 kB': {
    raw: `GET /${'a'.repeat(17_000)} HTTP/1.1\r\n${H}\r\n`,
    status: 431,
    code: 'HEADERS_TOO_LARGE',
  },
  '101 headers': {
    raw: `${POST}${H}${Array.from({ length: 100 }, (_, index) => `h${index}: 1\r\n`).join('')}\r\n`,
    status: 431,
    code: 'HEADERS_TOO_LARGE',
  },
  '1,500 headers': {
    raw: `${POST}${H}${Array.from({ length: 1_500 }, (_, index) => `h${index}:1\r\n`).join('')}\r\n`,
    status: 431,
    code: 'HEADERS_TOO_LARGE',
  },
  'a target with another host in it': { raw: `GET http://evil/livez HTTP/1.1\r\n${H}\r\n`, status: 400 },
  'a target that looks like a host': {
    raw: `GET //evil/livez HTTP/1.1\r\n${H}\r\n`,
    status: 404,
    code: 'ROUTE_NOT_FOUND',
  },
  'dots in the path': { raw: `GET /v1/../livez HTTP/1.1\r\n${H}\r\n`, status: 404, code: 'ROUTE_NOT_FOUND' },
  'an escaped NUL': { raw: `GET /v1/tasks/%00 HTTP/1.1\r\n${H}\r\n`, status: 400 },
  'a broken escape': { raw: `GET /v1/tasks/%zz HTTP/1.1\r\n${H}\r\n`, status: 400 },
  'an escape of overlong UTF-8': { raw: `GET /v1/tasks/%c0%af HTTP/1.1\r\n${H}\r\n`, status: 400 },
  'a lone percent in the query': { raw: `GET /livez?a=% HTTP/1.1\r\n${H}\r\n`, status: 400 },
  'a fragment': { raw: `GET /livez#b HTTP/1.1\r\n${H}\r\n`, status: 400 },
  'raw UTF-8 in the path': { raw: `GET /caf\u00e9 HTTP/1.1\r\n${H}\r\n`, status: 400 },
  'an unknown method': { raw: `FOO /livez HTTP/1.1\r\n${H}\r\n`, status: 400 },
  TRACE: { raw: `TRACE /livez HTTP/1.1\r\n${H}\r\n`, status: 405, code: 'METHOD_NOT_ALLOWED' },
  PROPFIND: { raw: `PROPFIND /livez HTTP/1.1\r\n${H}\r\n`, status: 405, code: 'METHOD_NOT_ALLOWED' },
  'a known path by another method': {
    raw: `PUT /v1/queues/orders/tasks HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\nhi`,
    status: 405,
    code: 'METHOD_NOT_ALLOWED',
  },
  'HTTP/1.2': { raw: `GET /livez HTTP/1.2\r\n${H}\r\n`, status: 400 },
  'the preface of HTTP/2': { raw: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', status: 400 },
  'a TLS hello': { raw: '\x16\x03\x01\x02\x00\x01\x00', status: 400 },
  'an expectation that is none': { raw: `${POST}${H}Expect: foo\r\nContent-Length: 2\r\n\r\nhi`, status: 417 },
  'GET with a body': {
    raw: `GET /livez HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\nhi`,
    status: 400,
    code: 'BAD_REQUEST',
  },
  'DELETE with a body': {
    raw: `DELETE /v1/tasks/x HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\nhi`,
    status: 400,
    code: 'BAD_REQUEST',
  },
  'DELETE of a task that never was': {
    raw: `DELETE /v1/tasks/x HTTP/1.1\r\n${H}\r\n`,
    status: 404,
    code: 'TASK_NOT_FOUND',
  },
  'DELETE of all tasks': { raw: `DELETE /v1/tasks/ HTTP/1.1\r\n${H}\r\n`, status: 404, code: 'TASK_NOT_FOUND' },
  'an escaped path to what operators may': {
    raw: `GET /v1/%61dmin/../admin/parked HTTP/1.1\r\n${H}\r\n`,
    status: 404,
    code: 'ROUTE_NOT_FOUND',
  },
  'a body cut short': { raw: `${POST}${H}Content-Length: 100\r\n\r\nonly this`, status: 0 },
}

for (const [name, { raw, status, code }] of Object.entries(refused)) {
  test(`${name}: ${status === 0 ? 'no answer' : status}, and nothing is kept`, async () => {
    const before = await rig.kept('orders')
    const heard = await sendRaw(rig.port, raw, 150)
    const answers = [...heard.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((match) => Number(match[1]))
    assert.deepEqual(answers, status === 0 ? [] : [status], heard)
    if (status !== 0 && status !== 417) {
      assert.match(heard, /^content-type: application\/problem\+json/im)
      const problem = JSON.parse(heard.slice(heard.indexOf('\r\n\r\n')))
      assert.equal(problem.status, status)
      if (code !== undefined) assert.equal(problem.code, code)
    }
    assert.equal(await rig.kept('orders'), before)
  })
}

test('a header named like a prototype is just a header', async () => {
  const heard = await sendRaw(rig.port, `${POST}${H}__proto__: 1\r\nconstructor: 2\r\nContent-Length: 2\r\n\r\nhi`, 150)
  assert.match(heard, /^HTTP\/1\.1 202 /)
})

test('OPTIONS * is answered with what there is', async () => {
  assert.match(await sendRaw(rig.port, `OPTIONS * HTTP/1.1\r\n${H}\r\n`, 150), /^HTTP\/1\.1 204 .*\r\nAllow: GET/s)
})

test('a preflight from another origin is allowed nothing', async () => {
  const heard = await sendRaw(
    rig.port,
    `OPTIONS /v1/queues/orders/tasks HTTP/1.1\r\n${H}Origin: http://evil\r\n\r\n`,
    150,
  )
  assert.match(heard, /^HTTP\/1\.1 405 /)
  assert.doesNotMatch(heard, /access-control/i)
})

test('two requests in one packet are answered in order', async () => {
  const one = `${POST}${H}Content-Length: 2\r\n\r\nhi`
  const heard = await sendRaw(rig.port, `${one}GET /livez HTTP/1.1\r\n${H}\r\n`, 300)
  assert.deepEqual(
    [...heard.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]),
    ['202', '200'],
  )
})

test('what follows a body is not part of it', async () => {
  const heard = await sendRaw(rig.port, `${POST}${H}Content-Length: 2\r\n\r\nhiGARBAGE\r\n\r\n`, 300)
  const answers = [...heard.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((match) => match[1])
  assert.ok(answers.length <= 2 && answers.every((status) => status === '202' || status === '400'), heard)
})
