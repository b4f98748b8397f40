import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { create } from '@bufbuild/protobuf'
import { systemClock } from '@forebay/broker'
import { checkLines } from '@forebay/edge'
import {
  grpcDefinition,
  SubmitAndWaitRequestSchema,
  type SubmitAndWaitResponse,
  SubmitRequestSchema,
  type SubmitResponse,
  TaskService,
  WatchRequestSchema,
  type WatchResponse,
} from '@forebay/protocol'
import { createWorker, type Worker } from '@forebay/sdk/worker'
import { Client, credentials, type MethodDefinition, type ServiceError } from '@grpc/grpc-js'
import { WebSocket } from 'ws'
import { quickNginx } from '../../packages/edge/src/decode/nginx-quick.ts'
import { createRedaction } from '../../packages/edge/src/decode/redaction.ts'
import { type GeneratedNginx, printedConfiguration, startGeneratedNginx, testNginx } from '../../scripts/rig/nginx.ts'
import { freePort } from '../../scripts/rig/process.ts'
import { type Forebay, startForebay } from '../forebay.ts'

const BODY_MAX = 20_000
const FLAGS = ['--set', 'http.bodyMax=20kB', '--set', 'http.waitMax=5s', '--set', 'store=postgres://a@127.0.0.1/a']
const METHODS = grpcDefinition(TaskService) as Record<string, MethodDefinition<object, object>>

/** Releases the next chunk of the task that is being told. */
let tell = Promise.withResolvers<void>()

let dir: string
let forebay: Forebay
let worker: Worker
let nginx: GeneratedNginx
let grpc: Client
before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'forebay-nginx-doors-'))
  forebay = await startForebay({
    config: { http: { bodyMax: BODY_MAX, waitMax: '5s' }, queues: { echo: { route: 'POST /echo/{who}' }, talk: {} } },
  })
  worker = createWorker({
    server: forebay.grpc,
    queues: {
      echo: async (task) => ({ body: task.bytes(), contentType: task.contentType }),
      talk: async function* () {
        for (const word of ['one', 'two', 'three']) {
          await tell.promise
          tell = Promise.withResolvers()
          yield word
        }
      },
    },
  })
  const there = { http: forebay.url.replace('http://', ''), grpc: forebay.grpc }
  const dead = { http: `127.0.0.1:${await freePort()}`, grpc: `127.0.0.1:${await freePort()}` }
  nginx = await startGeneratedNginx([there, dead], { flags: FLAGS })
  grpc = new Client(nginx.grpc, credentials.createInsecure())
})
after(async () => {
  grpc.close()
  await nginx.stop()
  await worker.stop()
  await forebay[Symbol.asyncDispose]()
  rmSync(dir, { recursive: true, force: true })
})

test('a task is handed in, waited for, read and refused through nginx as without it', async () => {
  const waited = await submit('echo', '{"a":1}', { prefer: 'wait=5', 'content-type': 'application/json' })
  assert.equal(waited.status, 200)
  assert.equal(await waited.text(), '{"a":1}')
  const path = waited.headers.get('location')!
  const state = (await (await fetch(nginx.url + path)).json()) as { state: string }
  assert.equal(state.state, 'succeeded')
  assert.equal(await (await fetch(`${nginx.url}${path}/result`)).text(), '{"a":1}')
  const cancelled = await fetch(nginx.url + path, { method: 'DELETE' })
  assert.equal(((await cancelled.json()) as { code: string }).code, 'TASK_ENDED')
  assert.equal(waited.headers.get('server'), 'nginx')
  const own = await fetch(`${nginx.url}/echo/a%2Fb%20c`, { method: 'POST', body: 'x', headers: { prefer: 'wait=5' } })
  assert.equal(await own.text(), 'x')
})

test('each line of the access log is JSON, with the id that the caller was given and the trace', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const answer = await fetch(`${nginx.url}/livez?"quoted"`, { headers: { traceparent } })
  const requestId = answer.headers.get('x-request-id')!
  assert.match(requestId, /^[\da-f]{32}$/)
  await answer.text()
  const line = `${await logged(requestId)}\n`
  const ours = JSON.parse(line) as Record<string, unknown>
  assert.equal(ours.traceparent, traceparent)
  assert.equal(ours.status, '200')
  assert.equal(ours.request, 'GET /livez?%22quoted%22 HTTP/1.1')
  const { rows } = checkLines(Buffer.from(line), 'json', systemClock)
  assert.ok(rows[0]?.kind === 'access')
  const { trace, status, path, query, upstreamStatus, upstream } = rows[0]
  const read = { trace, status, path, query, upstreamStatus }
  const sent = { trace: traceparent.slice(3, 35), status: 200, path: '/livez', query: '%22quoted%22' }
  assert.deepEqual(read, { ...sent, upstreamStatus: 200 })
  assert.match(upstream, /^127\.0\.0\.1:\d+/)
  const redaction = createRedaction({ parameters: [], client: 'keep', members: [] })
  assert.notEqual(quickNginx(redaction)!.row(line, 0), null, 'lines of nginx go the quick way')
})

test('chunks of a running task arrive one by one over Server-Sent Events, also without a reader who may buffer', async () => {
  const id = await taskOf('talk')
  const stream = await fetch(`${nginx.url}/v1/tasks/${id}/events`, { headers: { 'accept-encoding': 'gzip' } })
  assert.equal(stream.status, 200)
  assert.equal(stream.headers.get('content-encoding'), null)
  const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader()
  let heard = ''
  // The worker says the next word only once this one has arrived.
  for (const word of ['one', 'two', 'three']) {
    tell.resolve()
    while (!heard.includes(`"text":"${word}"`)) heard += await next(reader)
  }
  while (!heard.includes('event: result')) heard += await next(reader)
  assert.equal((await reader.read()).done, true)
})

test('a WebSocket opens, hands a task in and hears its end', async () => {
  const socket = new WebSocket(`${nginx.url.replace('http', 'ws')}/v1/stream`, 'forebay.v1')
  const heard: Record<string, unknown>[] = []
  const ended = new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('message', (text) => {
      const message = JSON.parse(String(text)) as Record<string, unknown>
      heard.push(message)
      if (JSON.stringify(message).includes('succeeded')) resolve()
    })
  })
  await once(socket, 'open')
  socket.send(JSON.stringify({ op: 'submit', ref: 'a', queue: 'echo', body: { hello: 'world' }, watch: true }))
  await ended
  assert.ok(heard.every(({ ref }) => ref === undefined || ref === 'a'))
  socket.close()
  await once(socket, 'close')
})

test('gRPC: SubmitAndWait brings the result, Watch each chunk as it comes', async () => {
  const request = create(SubmitRequestSchema, { queue: 'echo', payload: Buffer.from('hi') })
  const message = create(SubmitAndWaitRequestSchema, { submit: request })
  const answer = await unary<SubmitAndWaitResponse>('SubmitAndWait', message)
  assert.equal(String(Buffer.from(answer.result!.payload)), 'hi')
  const submitted = await unary<SubmitResponse>('Submit', create(SubmitRequestSchema, { queue: 'talk' }))
  const { path, requestSerialize, responseDeserialize } = METHODS.Watch!
  const watch = create(WatchRequestSchema, { id: submitted.task!.id })
  const stream = grpc.makeServerStreamRequest(path, requestSerialize, responseDeserialize, watch)
  const words: string[] = []
  tell.resolve()
  for await (const { event } of stream as AsyncIterable<WatchResponse>) {
    if (event.case !== 'chunk') continue
    words.push(String(Buffer.from(event.value.payload)))
    tell.resolve()
  }
  assert.deepEqual(words, ['one', 'two', 'three'])
})

test('gRPC: where no gateway listens the status is UNAVAILABLE with a code of the table', async () => {
  const dead = { http: `127.0.0.1:${await freePort()}`, grpc: `127.0.0.1:${await freePort()}` }
  await using alone = await startGeneratedNginx([dead], { flags: FLAGS })
  const client = new Client(alone.grpc, credentials.createInsecure())
  try {
    const request = create(SubmitRequestSchema, { queue: 'echo' })
    const error = await unary('Submit', request, client).then(
      () => null,
      (thrown: ServiceError) => thrown,
    )
    assert.equal(error?.code, 14)
    assert.deepEqual(error?.metadata.get('forebay-error'), ['NOT_ACCEPTED'])
  } finally {
    client.close()
  }
})

test('what nginx refuses by itself is a problem of the table as well', async () => {
  const large = await submit('echo', 'x'.repeat(BODY_MAX + 1))
  assert.deepEqual(await problemOf(large), { status: 413, code: 'TASK_TOO_LARGE' })
  const fits = await submit('echo', 'x'.repeat(BODY_MAX))
  assert.equal(fits.status, 202)
  assert.deepEqual(await problemOf(await fetch(`${nginx.url}/metrics`)), { status: 404, code: 'ROUTE_NOT_FOUND' })
  const long = await fetch(`${nginx.url}/livez`, { headers: { 'x-long': 'x'.repeat(17_000) } })
  assert.deepEqual(await problemOf(long), { status: 431, code: 'HEADERS_TOO_LARGE' })
})

test('over TLS there are HTTP/2 and the limits of one address', async () => {
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const named = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert]
  await promisify(execFile)('openssl', [...made, ...named])
  const there = { http: forebay.url.replace('http://', ''), grpc: forebay.grpc }
  const flags = [...FLAGS, '--rate', '5r/m', '--connections', '100']
  await using secured = await startGeneratedNginx([there], { tls: { cert, key }, flags })
  const session = connectHttp2(secured.url, { ca: readFileSync(cert) })
  try {
    const statuses: unknown[] = []
    let problem = ''
    for (let count = 0; count < 8; count++) {
      const stream = session.request({ ':path': '/livez' })
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
      statuses.push(headers[':status'])
      problem = ''
      for await (const chunk of stream.setEncoding('utf8')) problem += String(chunk)
    }
    assert.deepEqual(statuses, [200, 200, 200, 200, 200, 200, 429, 429])
    assert.equal((JSON.parse(problem) as { code: string }).code, 'OVERLOADED')
  } finally {
    session.close()
  }
})

test('nginx -t passes for one gateway and for three, with TLS and without', async () => {
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  const three = [1, 2, 3].map((number) => ({ http: `127.0.0.${number}:8080`, grpc: `127.0.0.${number}:8081` }))
  const own = ['--listen', '127.0.0.1:8443', '--access-log', join(dir, 'access.log')]
  for (const gateways of [three.slice(0, 1), three]) {
    for (const tls of [[], ['--tls-cert', cert, '--tls-key', key, '--server-name', 'a.example *.b.example']]) {
      const printed = await printedConfiguration(gateways, [...own, ...tls, '--rate', '10r/s', '--connections', '7'])
      assert.match(await testNginx(printed), /test is successful/)
      assert.doesNotMatch(await testNginx(printed), /\[warn\]/)
    }
  }
})

test('a gateway that is killed and started again is used again', async () => {
  const id = await taskOf('echo')
  await forebay.kill9()
  const gone = await fetch(`${nginx.url}/v1/tasks/${id}`)
  assert.deepEqual(await problemOf(gone), { status: 503, code: 'NOT_ACCEPTED' })
  await forebay.start()
  for (let status = 503; status !== 200; ) {
    const answer = await fetch(`${nginx.url}/v1/tasks/${id}`, { headers: { prefer: 'wait=5' } })
    status = answer.status
    assert.ok(status === 200 || status === 503)
    await answer.text()
  }
})

function submit(queue: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${nginx.url}/v1/queues/${queue}/tasks`, { method: 'POST', body, headers })
}

async function taskOf(queue: string): Promise<string> {
  const answer = await submit(queue, '')
  assert.equal(answer.status, 202)
  return ((await answer.json()) as { id: string }).id
}

/** The line of a request; nginx writes its lines once a second. */
async function logged(requestId: string): Promise<string> {
  for (;;) {
    const lines = readFileSync(nginx.accessLog, 'utf8').split('\n').slice(0, -1)
    const ours = lines.find((line) => (JSON.parse(line) as { requestId: string }).requestId === requestId)
    if (ours !== undefined) return ours
    await sleep(50)
  }
}

async function next(reader: ReadableStreamDefaultReader<string>): Promise<string> {
  const { value, done } = await reader.read()
  assert.equal(done, false, 'the stream ended early')
  return value!
}

async function problemOf(response: Response): Promise<{ status: number; code: string }> {
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  const problem = (await response.json()) as { status: number; code: string }
  assert.equal(problem.status, response.status)
  return { status: problem.status, code: problem.code }
}

function unary<Answer>(name: string, request: object, client = grpc): Promise<Answer> {
  const { path, requestSerialize, responseDeserialize } = METHODS[name]!
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) => {
      if (error === null) resolve(answer as Answer)
      else reject(error)
    })
  })
}
