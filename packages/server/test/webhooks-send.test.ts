import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { systemClock } from '@forebay/broker'
import { allowedTargets } from '../src/webhooks/allowed-targets.ts'
import { checkCallbackUrl } from '../src/webhooks/callback-url.ts'
import { createLookUp } from '../src/webhooks/look-up.ts'
import { ANSWER_BYTES_MAX, createSend, type Sent } from '../src/webhooks/send.ts'
import { makeCertificates, noCertificates } from './support/certificates.ts'
import { startDns } from './support/dns-server.ts'
import { startRawReceiver, startReceiver } from './support/receiver.ts'

/** One call to every kind of receiver; those on this machine are reached because the test allows it. */

const TIMEOUT_MS = 400
const NOT_PUBLIC = 'The host leads to an address that is not public; nothing was sent.'

test('a call carries its headers and body to the path, and the status comes back', async (t) => {
  const receiver = await startReceiver(t)
  receiver.answer = (response) => response.writeHead(202).end('taken')
  assert.deepEqual(await call(`http://127.0.0.1:${receiver.port}/hook?a=b`), {
    kind: 'answered',
    status: 202,
    retryAfter: undefined,
  })
  const [got] = receiver.calls
  assert.deepEqual([got!.path, got!.body.toString(), got!.headers['x-test']], ['/hook?a=b', '{"a":1}', 'yes'])
  assert.deepEqual([got!.headers.host, got!.headers['content-length']], [`127.0.0.1:${receiver.port}`, '7'])
})

test('a redirect is an answer like any other: where it leads nobody goes', async (t) => {
  const inside = await startReceiver(t)
  const receiver = await startReceiver(t)
  for (const status of [301, 302, 303, 307, 308]) {
    receiver.answer = (response) =>
      response.writeHead(status, { location: `http://127.0.0.1:${inside.port}/secrets` }).end()
    const sent = await call(`http://127.0.0.1:${receiver.port}/`)
    assert.equal(sent.kind === 'answered' && sent.status, status)
  }
  assert.equal(inside.connections, 0)
})

test('who says nothing, or says it too slowly, has not answered', async (t) => {
  const drip = (line: string) => (socket: Socket) => {
    let at = 0
    const timer = setInterval(() => socket.write(line[at++ % line.length]!), 20)
    socket.on('close', () => clearInterval(timer))
  }
  const late = { kind: 'failed', detail: 'There was no answer within 400ms.' }
  for (const speak of [() => {}, drip('HTTP/1.1 200 OK\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')]) {
    const { port } = await startRawReceiver(t, speak)
    assert.deepEqual(await timed(call(`http://127.0.0.1:${port}/`)), late)
  }
})

test('after the status nothing can hold a call: neither drops of a body, nor one without end, nor one that is cut', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n'
  let taken = 0
  for (const speak of [
    (socket: Socket) => {
      socket.write(`${head}Content-Length: 1000\r\n\r\n`)
      const timer = setInterval(() => socket.write('x'), 20)
      socket.on('close', () => clearInterval(timer))
    },
    (socket: Socket) => {
      socket.write(`${head}\r\n`)
      const more = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(16_384))) taken += 16_384
      }
      socket.on('drain', more)
      more()
    },
    (socket: Socket) => socket.end(`${head}Content-Length: 1000000000\r\n\r\nshort`),
    (socket: Socket) => socket.end(`${head}Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope`),
  ]) {
    const { port } = await startRawReceiver(t, speak)
    const sent = await timed(call(`http://127.0.0.1:${port}/`))
    assert.deepEqual(sent, { kind: 'answered', status: 200, retryAfter: undefined })
  }
  // What the kernel holds on its way is not read.
  assert.ok(taken < 100 * ANSWER_BYTES_MAX, `${taken} bytes were taken`)
})

test('announcements without end, headers without end and nonsense are no answer', async (t) => {
  for (const [speak, says] of [
    [
      (socket: Socket) => {
        const flood = () => {
          while (!socket.destroyed && socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(100)));
        }
        socket.on('drain', flood)
        flood()
      },
      /too long/,
    ],
    [(socket: Socket) => socket.write(`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(100_000)}`), /HPE_HEADER_OVERFLOW/],
    [(socket: Socket) => socket.write('220 smtp.example.com ESMTP\r\n'), /HPE_/],
    [
      (socket: Socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
      /cut off/,
    ],
    [(socket: Socket) => socket.resetAndDestroy(), /cut off/],
    [(socket: Socket) => socket.end(), /cut off/],
  ] as const) {
    const { port } = await startRawReceiver(t, speak)
    const sent = await timed(call(`http://127.0.0.1:${port}/`))
    assert.equal(sent.kind, 'failed')
    assert.match(sent.kind === 'failed' ? sent.detail : '', says)
  }
})

test('a call that is cut off says so', async (t) => {
  const { port } = await startRawReceiver(t, () => {})
  const stop = new AbortController()
  const calling = call(`http://127.0.0.1:${port}/`, { signal: stop.signal, timeoutMs: 60_000 })
  stop.abort()
  assert.deepEqual(await calling, { kind: 'cut' })
})

test('a name is asked for once, and the call goes to an address that it had then', async (t) => {
  const dns = await startDns(t)
  const receiver = await startReceiver(t)
  dns.names.set('hooks.test', ['127.0.0.1'])
  const sent = await call(`https://hooks.test:${receiver.port}/`, { dns: dns.address, allow: ['127.0.0.1'] })
  // It speaks no TLS; that it was reached is what counts.
  assert.equal(sent.kind, 'failed')
  assert.equal(receiver.connections, 1)
  assert.deepEqual(dns.asked, ['hooks.test', 'hooks.test'], 'once for each family')
})

test('rebinding: a name that was public when the callback was kept leads inside at the call, which is not made', async (t) => {
  const dns = await startDns(t)
  const receiver = await startReceiver(t)
  dns.names.set('rebind.test', ['93.184.215.14'])
  const lookUp = createLookUp([dns.address])
  const never = new AbortController().signal
  assert.deepEqual(await lookUp('rebind.test', false, never), [{ address: '93.184.215.14', family: 4 }])
  const url = `https://rebind.test:${receiver.port}/`
  checkCallbackUrl(url, { ports: new Set([receiver.port]), allowed: allowedTargets([]) })
  for (const inside of [
    ['127.0.0.1'],
    ['93.184.215.14', '127.0.0.1'],
    ['::1'],
    ['2606:4700::1111', '::ffff:127.0.0.1'],
  ]) {
    dns.names.set('rebind.test', inside)
    assert.deepEqual(await call(url, { dns: dns.address, allow: [] }), { kind: 'failed', detail: NOT_PUBLIC })
  }
  assert.equal(receiver.connections, 0)
})

test('a name for any address that is not public is refused at the call', async (t) => {
  const dns = await startDns(t)
  for (const [index, address] of INSIDE.entries()) {
    const name = `inside-${index}.test`
    dns.names.set(name, [address])
    const sent = await call(`https://${name}/`, { dns: dns.address, allow: [], port: 443 })
    assert.deepEqual(sent, { kind: 'failed', detail: NOT_PUBLIC }, address)
  }
})

test('a name that is not there, has no address or is never answered for is a failure of the call', async (t) => {
  const dns = await startDns(t)
  dns.names.set('empty.test', [])
  dns.names.set('silent.test', 'silent')
  for (const [name, says] of [
    ['nowhere.test', /no such name/],
    ['empty.test', /no address/],
    ['silent.test', /no answer within 400ms/],
  ] as const) {
    const sent = await timed(call(`https://${name}/`, { dns: dns.address, allow: [], port: 443 }))
    assert.match(sent.kind === 'failed' ? sent.detail : '', says, name)
  }
})

test('a certificate counts only when somebody who is trusted gave it to this name', {
  skip: noCertificates,
}, async (t) => {
  const { ca, pairs } = makeCertificates(['hooks.test', 'other.test'])
  const dns = await startDns(t)
  dns.names.set('hooks.test', ['127.0.0.1'])
  const right = await startReceiver(t, pairs.get('hooks.test')!)
  const wrong = await startReceiver(t, pairs.get('other.test')!)
  const at = (port: number) => `https://hooks.test:${port}/`
  const options = { dns: dns.address, allow: ['127.0.0.1'], ca: [ca], timeoutMs: 5_000 }
  assert.deepEqual(await call(at(right.port), options), { kind: 'answered', status: 204, retryAfter: undefined })
  for (const [port, other] of [
    [wrong.port, options],
    [right.port, { ...options, ca: null }],
  ] as const) {
    const sent = await call(at(port), other)
    assert.match(sent.kind === 'failed' ? sent.detail : '', /certificate cannot be trusted/)
  }
  assert.deepEqual([right.calls.length, wrong.calls.length], [1, 0])
})

interface CallOptions {
  readonly dns?: string
  readonly allow?: readonly string[]
  readonly ca?: readonly string[] | null
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  readonly port?: number
}

function call(text: string, options: CallOptions = {}): Promise<Sent> {
  const { dns, allow = ['127.0.0.1'], ca = null, timeoutMs = TIMEOUT_MS } = options
  const allowed = allowedTargets(allow)
  const port = options.port ?? Number(new URL(text).port)
  const url = checkCallbackUrl(text, { ports: new Set([port]), allowed })
  const lookUp = createLookUp(dns === undefined ? [] : [dns])
  const send = createSend({ lookUp, allowed, ca, timeoutMs, clock: systemClock })
  const headers = { 'x-test': 'yes', 'content-type': 'application/json' }
  return send({ url, headers, body: Buffer.from('{"a":1}') }, options.signal ?? new AbortController().signal)
}

async function timed(sent: Promise<Sent>): Promise<Sent> {
  const beganMs = systemClock.monotonicMs()
  const result = await sent
  assert.ok(systemClock.monotonicMs() - beganMs < 10 * TIMEOUT_MS)
  return result
}

const INSIDE = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '100.64.0.1',
  '100.100.100.200',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.254',
  '168.63.129.16',
  '169.254.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.0.192',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '192.168.255.255',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::7f00:1',
  '::ffff:7f00:1',
  '::ffff:a9fe:a9fe',
  '64:ff9b::7f00:1',
  '64:ff9b::808:808',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  '2002:7f00:1::',
  '3fff::1',
  'fc00::1',
  'fd00::1',
  'fd00:ec2::254',
  'fe80::1',
  'fec0::1',
  'ff02::1',
]
