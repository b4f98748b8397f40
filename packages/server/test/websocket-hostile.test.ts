import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { type Broker, systemClock } from '@forebay/broker'
import { ANONYMOUS } from '../src/accept/principal.ts'
import { messageBytesMax } from '../src/accept/websocket-door.ts'
import { OUTBOX_BYTES_MAX } from '../src/accept/websocket-outbox.ts'
import { outputRecord } from '../src/records.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions, sendRaw } from './support/doors-rig.ts'
import { SkipClock } from './support/skip-clock.ts'
import { openStream, Refused } from './support/websocket-client.ts'

const RUN = 'b'.repeat(16)
const NONCE = 'dGhlIHNhbXBsZSBub25jZQ=='
const UPGRADE = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${NONCE}\r\n`
const PROTOCOL = 'Sec-WebSocket-Protocol: forebay.v1\r\n'

test('what does not ask for this stream as RFC 6455 says is refused, and its connection ended', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const ask = (head: string) => sendRaw(rig.port, `${head}\r\n`, 2_000)
  const plain = await fetch(`${rig.url}/v1/stream`)
  assert.equal(plain.status, 426)
  assert.equal(plain.headers.get('upgrade'), 'websocket')
  assert.equal(((await plain.json()) as { code: string }).code, 'UPGRADE_REQUIRED')
  const get = `GET /v1/stream HTTP/1.1\r\nHost: x\r\n`
  const cases: readonly (readonly [string, RegExp])[] = [
    [`${get}${UPGRADE}`, /^HTTP\/1\.1 400 .*BAD_HEADER/s],
    [`${get}${UPGRADE}Sec-WebSocket-Protocol: forebay.v2\r\n`, /^HTTP\/1\.1 400 .*forebay\.v1/s],
    [`${get}${UPGRADE.replace('13', '8')}${PROTOCOL}`, /^HTTP\/1\.1 426 .*Sec-WebSocket-Version: 13\r\n/s],
    [`${get}${UPGRADE.replace(NONCE, 'short')}${PROTOCOL}`, /^HTTP\/1\.1 400 .*Sec-WebSocket-Key/s],
    [`GET /v1/streams HTTP/1.1\r\nHost: x\r\n${UPGRADE}${PROTOCOL}`, /^HTTP\/1\.1 404 .*ROUTE_NOT_FOUND/s],
    [`GET /v1/tasks/x HTTP/1.1\r\nHost: x\r\n${UPGRADE}${PROTOCOL}`, /^HTTP\/1\.1 404 /],
    [`POST /v1/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n${UPGRADE}${PROTOCOL}`, /^HTTP\/1\.1 405 /],
    [`GET /v1/stream HTTP/1.1\r\n${UPGRADE}${PROTOCOL}`, /^HTTP\/1\.1 400 .*Host/s],
    [`${get}${UPGRADE}${PROTOCOL}Forebay-Bogus: 1\r\n`, /^HTTP\/1\.1 400 .*forebay-bogus/s],
    [`${get}${UPGRADE}${PROTOCOL}Origin: https://elsewhere.example\r\n`, /^HTTP\/1\.1 403 .*FORBIDDEN/s],
  ]
  for (const [head, answer] of cases) assert.match(await ask(head), answer, head)
  const welcome = await ask(`${get}${UPGRADE}${PROTOCOL}Origin: http://X\r\n`)
  assert.match(welcome, /^HTTP\/1\.1 101 .*Sec-WebSocket-Protocol: forebay\.v1\r\n/s)
})

test('other upgrades that clients offer leave their requests what they are', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const h2c = 'Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n'
  const request = `POST /v1/queues/orders/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n${h2c}\r\nx`
  assert.match(await sendRaw(rig.port, request, 2_000), /^HTTP\/1\.1 202 /)
})

test('a key comes as a header or as a sub-protocol, and is not said again', async (t) => {
  const rig = await openDoorsRig({ auth: accessKeys({ alice: 'key-a' }) })
  t.after(() => rig.stop())
  const protocol = `bearer.${Buffer.from('key-a').toString('base64url')}`
  const page = { origin: 'https://elsewhere.example' }
  const client = await openStream(rig.url, { protocols: ['forebay.v1', protocol], headers: page })
  assert.equal(client.socket.protocol, 'forebay.v1')
  await client.close()
  const refusals = [
    [{}, 401],
    [{ key: 'key-b' }, 401],
    [{ protocols: ['forebay.v1', 'bearer.###'.replaceAll('#', 'A')] }, 401],
    [{ key: 'key-a', protocols: ['forebay.v1', protocol] }, 400],
  ] as const
  for (const [options, status] of refusals) {
    const refused = await refusedBy(openStream(rig.url, options))
    assert.equal(refused.status, status)
    if (status === 401) assert.match(String(refused.headers['www-authenticate']), /^Bearer/)
  }
})

test('no more than http.webSocketsMax are open, and one that goes makes room', async (t) => {
  const rig = await openDoorsRig({ http: { webSocketsMax: 2 } })
  t.after(() => rig.stop())
  const first = await openStream(rig.url)
  const second = await openStream(rig.url)
  const third = await refusedBy(openStream(rig.url))
  assert.equal(third.status, 429)
  assert.equal(third.problem.option, 'http.webSocketsMax')
  await first.close()
  await (await openStream(rig.url)).close()
  await second.close()
})

test('messages that are none are answered, and the connection goes on', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  const cases: readonly (readonly [string, string | undefined, string])[] = [
    ['{', undefined, 'MALFORMED_JSON'],
    ['', undefined, 'MALFORMED_JSON'],
    ['[]', undefined, 'BAD_REQUEST'],
    ['null', undefined, 'BAD_REQUEST'],
    ['"ping"', undefined, 'BAD_REQUEST'],
    ['{"ref":"a"}', 'a', 'BAD_REQUEST'],
    ['{"ref":"a","op":"subscribe"}', 'a', 'BAD_REQUEST'],
    ['{"ref":"a","op":"toString"}', 'a', 'BAD_REQUEST'],
    ['{"ref":"a","op":"get","id":"x","__proto__":1}', 'a', 'BAD_REQUEST'],
    ['{"ref":"a","op":"watch","id":7}', 'a', 'BAD_REQUEST'],
    ['{"ref":"a","op":"watch"}', 'a', 'BAD_REQUEST'],
    ['{"op":"get","id":"x"}', undefined, 'BAD_REQUEST'],
    ['{"ref":7,"op":"get","id":"x"}', undefined, 'BAD_REQUEST'],
    ['{"ref":"","op":"ping"}', undefined, 'BAD_REQUEST'],
    [`{"ref":"${'r'.repeat(65)}","op":"ping"}`, undefined, 'BAD_REQUEST'],
    [`${'['.repeat(100_000)}`, undefined, 'MALFORMED_JSON'],
  ]
  for (const [text, ref, code] of cases) {
    const told = client.said.length
    client.say(text)
    const said = await client.hear((one) => client.said.indexOf(one) === told)
    assert.equal(said.event, 'problem', text.slice(0, 80))
    assert.equal(said.ref, ref, text.slice(0, 80))
    assert.equal((said.problem as { code: string }).code, code, text.slice(0, 80))
  }
  client.say({ op: 'ping', ref: 'still here' })
  await client.hear(({ event }) => event === 'pong')
  await client.close()
})

test('frames that the protocol does not allow end the connection by its codes', async (t) => {
  const rig = await openDoorsRig({
    http: { bodyBytesMax: 1_024 },
    queues: [queueOptions('orders', { bodyBytesMax: 1_024 })],
  })
  t.after(() => rig.stop())
  const binary = await openStream(rig.url)
  binary.socket.send(Buffer.from('{"op":"ping"}'))
  assert.equal((await binary.closed).code, 1003)
  const large = await openStream(rig.url)
  large.say(' '.repeat(messageBytesMax(1_024) + 1))
  assert.equal((await large.closed).code, 1009)
  const announced = await openRaw(rig.port)
  announced.write(Buffer.from([0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))
  assert.equal(closeCode(await rest(announced)), 1009)
  const unmasked = await openRaw(rig.port)
  unmasked.write(Buffer.from([0x81, 0x02, 0x7b, 0x7d]))
  assert.equal(closeCode(await rest(unmasked)), 1002)
  const notText = await openRaw(rig.port)
  notText.write(masked(0x81, Buffer.from([0xff, 0xfe])))
  assert.equal(closeCode(await rest(notText)), 1007)
  const compressed = await openRaw(rig.port)
  compressed.write(masked(0xc1, Buffer.from('{}')))
  assert.equal(closeCode(await rest(compressed)), 1002)
})

test('noise instead of frames, and peers that vanish in mid-frame, harm nobody else', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  for (let round = 0; round < 40; round++) {
    const socket = await openRaw(rig.port)
    socket.write(
      round % 2 === 0 ? randomBytes(round * 7 + 1) : masked(0x81, Buffer.from('{"op":"ping"}')).subarray(0, 7),
    )
    if (round % 3 === 0) socket.resetAndDestroy()
    else socket.destroy()
  }
  client.say({ op: 'submit', ref: '1', queue: 'orders', text: 'x' })
  assert.equal((await client.hear(({ ref }) => ref === '1')).event, 'accepted')
  await client.close()
  await until(async () => (await rig.telemetry.metrics.webSockets.get()).values[0]!.value === 0)
  assert.equal(rig.doors.admission.bytes, 0)
})

test('ten thousand wishes at once are all answered, within the refs that may be open', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  client.say({ op: 'submit', ref: 'task', queue: 'orders', text: 'x' })
  const id = String((await client.hear(({ event }) => event === 'accepted')).id)
  const COUNT = 10_000
  for (let number = 0; number < COUNT; number++) client.say({ op: 'watch', ref: `w${number}`, id })
  client.say({ op: 'ping', ref: 'last' })
  await client.hear(({ ref }) => ref === 'last')
  await until(() => new Set(client.said.map(({ ref }) => ref)).size === COUNT + 2)
  const states = client.said.filter(({ event }) => event === 'state')
  const problems = client.said.filter(({ event }) => event === 'problem')
  assert.equal(states.length, 256)
  assert.equal(problems.length, COUNT - 256)
  assert.equal((await rig.telemetry.metrics.watchers.get()).values[0]!.value, 256)
  client.socket.terminate()
  await until(async () => (await rig.telemetry.metrics.watchers.get()).values[0]!.value === 0)
})

test('bytes of a message that has not ended count as bodies do, and too many of them are refused', async (t) => {
  const rig = await openDoorsRig({ http: { acceptingBytesMax: 1_500_000 } })
  t.after(() => rig.stop())
  const half = masked(0x81, Buffer.alloc(1_000_000, ' ')).subarray(0, 900_000)
  const first = await openRaw(rig.port)
  first.write(half)
  await until(() => rig.doors.admission.bytes > 890_000)
  const second = await openRaw(rig.port)
  second.write(half)
  await rest(second)
  assert.ok(rig.doors.admission.bytes < 1_000_000, `${rig.doors.admission.bytes} bytes`)
  first.destroy()
  await until(() => rig.doors.admission.bytes === 0)
})

test('a peer that takes nothing costs its outbox and no more, is cut off in the end, and can go on where it was', async (t) => {
  const clock = new SkipClock()
  const accepted: Socket[] = []
  const onSocket = (message: unknown) => accepted.push((message as { socket: Socket }).socket)
  subscribe('net.server.socket', onSocket)
  t.after(() => unsubscribe('net.server.socket', onSocket))
  const rig = await openDoorsRig({ clock })
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  const serverSide = accepted.at(-1)!
  client.say({ op: 'submit', ref: '1', queue: 'orders', text: 'x', watch: true })
  const id = String((await client.hear(({ event }) => event === 'accepted')).id)
  await client.hear(({ event }) => event === 'state')
  client.socket.pause()
  const COUNT = 300
  let longest = 0
  for (let number = 1; number <= COUNT; number += 10) {
    await speak(rig, id, number, 10)
    longest = Math.max(longest, serverSide.writableLength)
  }
  for (let look = 0; look < 50 || serverSide.writableLength < OUTBOX_BYTES_MAX; look++) {
    longest = Math.max(longest, serverSide.writableLength)
    await systemClock.sleep(5)
  }
  const chunkBytes = Math.ceil(CHUNK_BYTES / 3) * 4 + 1_000
  assert.ok(longest < OUTBOX_BYTES_MAX + chunkBytes, `${longest} bytes waited`)
  clock.skip(40_000)
  await until(() => serverSide.destroyed)
  client.socket.resume()
  await client.closed
  const seen = client.said.filter(({ event }) => event === 'chunk')
  assert.ok(seen.length < COUNT, `${seen.length} chunks`)

  const again = await openStream(rig.url)
  again.say({ op: 'watch', ref: '2', id, ...(seen.length === 0 ? {} : { after: seen.at(-1)!.position }) })
  await again.hear(({ chunk }) => chunk === COUNT)
  const numbers = [...seen, ...again.said.filter(({ event }) => event === 'chunk')].map(({ chunk }) => chunk)
  assert.deepEqual(
    numbers,
    Array.from({ length: COUNT }, (_, index) => index + 1),
  )
  await again.close()
})

test('a peer from which nothing comes, not even a pong, is taken for gone', async (t) => {
  const clock = new SkipClock()
  const rig = await openDoorsRig({ clock })
  t.after(() => rig.stop())
  const alive = await openStream(rig.url)
  const silent = await openRaw(rig.port)
  const pings: number[] = []
  alive.socket.on('ping', () => pings.push(1))
  for (let second = 0; second < 60 && !silent.closed; second++) {
    clock.skip(1_000)
    await systemClock.sleep(5)
  }
  if (!silent.closed) await new Promise((resolve) => silent.once('close', resolve))
  assert.ok(pings.length >= 1, 'the other was asked')
  assert.equal(alive.socket.readyState, alive.socket.OPEN)
  await alive.close()
})

test('a stop answers what is under way, sends everybody away with 1001, and lets nobody in', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  const idle = await openStream(rig.url)
  client.say({ op: 'submit', ref: '1', queue: 'orders', text: 'x', watch: true })
  const id = String((await client.hear(({ event }) => event === 'accepted')).id)
  await client.hear(({ event }) => event === 'state')
  const stopped = rig.doors.http.stop(10_000)
  assert.equal((await client.closed).code, 1001)
  assert.equal((await idle.closed).code, 1001)
  assert.equal(await stopped, 0)
  assert.deepEqual(
    client.said.map(({ event }) => event),
    ['accepted', 'state'],
  )
  assert.notEqual(id, '')
})

async function refusedBy(opening: Promise<unknown>): Promise<Refused> {
  const thrown = await opening.then(
    () => null,
    (error: unknown) => error,
  )
  assert.ok(thrown instanceof Refused)
  return thrown
}

test('a stop waits for what is being kept, and says so before it says goodbye', async (t) => {
  const gate = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  const rig = await openDoorsRig({
    wrapBroker: (broker) => ({
      ...bound(broker),
      async publish(records) {
        asked.resolve()
        await gate.promise
        return broker.publish(records)
      },
    }),
  })
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  client.say({ op: 'submit', ref: '1', queue: 'orders', text: 'x' })
  await asked.promise
  const stopped = rig.doors.http.stop(10_000)
  client.say({ op: 'submit', ref: '2', queue: 'orders', text: 'too late' })
  await systemClock.sleep(50)
  gate.resolve()
  assert.equal((await client.closed).code, 1001)
  assert.equal(await stopped, 0)
  assert.deepEqual(
    client.said.map(({ ref, event }) => [ref, event]),
    [['1', 'accepted']],
  )
  assert.equal(await rig.kept('orders'), 1)
})

test('the tasks of one connection take turns at it', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  const ids: string[] = []
  for (const ref of ['a', 'b', 'c']) {
    client.say({ op: 'submit', ref, queue: 'orders', text: ref, watch: true })
    ids.push(String((await client.hear((said) => said.ref === ref && said.event === 'accepted')).id))
    await client.hear((said) => said.ref === ref && said.event === 'state')
  }
  client.socket.pause()
  const COUNT = 100
  for (const id of ids) for (let number = 1; number <= COUNT; number += 10) await speak(rig, id, number, 10)
  client.socket.resume()
  await until(() => client.said.filter(({ event }) => event === 'chunk').length === COUNT * ids.length)
  const order = client.said.filter(({ event }) => event === 'chunk').map(({ ref }) => ref)
  const lastOfA = order.lastIndexOf('a')
  const behind = order.slice(0, lastOfA).filter((ref) => ref !== 'a').length
  assert.ok(behind > COUNT, `${behind} chunks of the others came before the last of the first`)
})

/** The methods of a log by themselves, for one of them to be replaced. */
function bound(broker: Broker): Broker {
  return {
    capabilities: broker.capabilities,
    open: (request) => broker.open(request),
    publish: (records) => broker.publish(records),
    consume: (request) => broker.consume(request),
    listen: (request) => broker.listen(request),
    inspect: (request) => broker.inspect(request),
    close: () => broker.close(),
  }
}

const CHUNK_BYTES = 90_000

async function speak(rig: DoorsRig, taskId: string, from: number, count: number): Promise<void> {
  const about = { taskId, queue: 'orders', owner: ANONYMOUS, attempts: 1, generation: 0, run: RUN, atMs: Date.now() }
  const records = Array.from({ length: count }, (_, index) => {
    const content = { kind: 'chunk', payload: Buffer.alloc(CHUNK_BYTES, 0xff), contentType: 'image/png' } as const
    const chunks = from + index
    return outputRecord({ ...about, first: chunks === 1, chunks, content }, rig.replies.lane)
  })
  await rig.broker.publish(records)
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await systemClock.sleep(5)
}

/** A connection that has become a WebSocket, for frames that no client would send. */
async function openRaw(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`GET /v1/stream HTTP/1.1\r\nHost: x\r\n${UPGRADE}${PROTOCOL}\r\n`)
  const [head] = (await once(socket, 'data')) as unknown as [Buffer]
  assert.match(head.toString('latin1'), /^HTTP\/1\.1 101 /)
  return socket
}

async function rest(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk as Buffer))
  socket.on('end', () => socket.destroy())
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
  return Buffer.concat(chunks)
}

function closeCode(bytes: Buffer): number | null {
  const at = bytes.indexOf(0x88)
  return at < 0 || bytes.length < at + 4 ? null : bytes.readUInt16BE(at + 2)
}

function masked(first: number, payload: Buffer): Buffer {
  const long = payload.length > 125
  const head = Buffer.alloc(long ? 10 : 2)
  head[0] = first
  head[1] = 0x80 | (long ? 127 : payload.length)
  if (long) head.writeBigUInt64BE(BigInt(payload.length), 2)
  return Buffer.concat([head, Buffer.alloc(4), payload])
}
