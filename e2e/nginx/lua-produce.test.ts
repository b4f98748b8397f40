import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { embeddedBroker } from '@forebay/broker/embedded'
import { type GeneratedNginx, startGeneratedNginx } from '../../scripts/rig/nginx.ts'
import { freePort } from '../../scripts/rig/process.ts'
import { startForebay } from '../forebay.ts'
import { startLuaRig, TOPIC } from './lua-rig.ts'

const GATEWAY = { http: '127.0.0.1:9', grpc: '127.0.0.1:9' }

const KILLS = process.env.E2E_LONG === '1' ? 5 : 1

/** No rows: only messages. */
function start(collector: string, flags: readonly string[] = []): Promise<GeneratedNginx> {
  const own = ['--collector', collector, '--no-lua-log', '--produce', TOPIC, '--produce', 'elsewhere']
  return startGeneratedNginx([GATEWAY], { lua: true, flags: [...own, ...flags] })
}

interface Answer {
  readonly status: number
  readonly outcome?: string
  readonly code?: string
  readonly offset?: number
}

async function post(
  nginx: GeneratedNginx,
  body: string | Uint8Array,
  init: RequestInit = {},
  topic = TOPIC,
): Promise<Answer> {
  const answered = await fetch(`${nginx.url}/produce/${topic}`, { method: 'POST', body: Buffer.from(body), ...init })
  assert.match(answered.headers.get('content-type')!, /json/)
  return { ...((await answered.json()) as object), status: answered.status }
}

test('a message is answered as durable, spooled or refused, as the collector has it', async () => {
  await using rig = await startLuaRig()
  await using nginx = await start(rig.address)
  const headers = { 'content-type': 'text/plain', 'forebay-key': 'ann', 'ce-id': '7', 'x-other': 'no', host: 'a' }
  const durable = await post(nginx, 'one', { headers })
  assert.deepEqual([durable.status, durable.outcome, durable.offset], [200, 'durable', 0])
  const large = Buffer.alloc(900_000, 'x')
  assert.equal((await post(nginx, large)).outcome, 'durable')
  assert.equal((await post(nginx, '')).outcome, 'durable')
  rig.logTakes = false
  const spooled = await post(nginx, 'two')
  assert.deepEqual([spooled.status, spooled.outcome], [202, 'spooled'])
  rig.logTakes = true
  await rig.away()
  const refused = await post(nginx, 'three')
  assert.deepEqual([refused.status, refused.outcome, refused.code], [503, 'refused', 'NOT_ACCEPTED'])
  await rig.back()
  while ((await post(nginx, 'four')).outcome !== 'durable') await sleep(50)
  const records = await rig.produced(5)
  const values = records.map(({ value }) => Buffer.from(value!))
  assert.deepEqual(
    [String(values[0]), values[1]!.equals(large), String(values[2]), String(values[3])],
    ['one', true, '', 'two'],
  )
  assert.equal(Buffer.from(records[0]!.key!).toString(), 'ann')
  const names = records[0]!.headers.map(([name]) => name).sort()
  assert.deepEqual(names, ['ce_id', 'content-type'])
})

test('what is no message for here is refused before the collector hears of it, or by it', async () => {
  await using rig = await startLuaRig()
  await using nginx = await start(rig.address)
  assert.deepEqual(codeOf(await post(nginx, 'x', {}, 'secrets')), [404, 'ROUTE_NOT_FOUND'])
  assert.deepEqual(codeOf(await post(nginx, 'x', {}, 'elsewhere')), [403, 'FORBIDDEN'])
  assert.deepEqual(codeOf(await post(nginx, 'x', { method: 'PUT' })), [405, 'METHOD_NOT_ALLOWED'])
  assert.deepEqual(codeOf(await post(nginx, Buffer.alloc(1_100_000))), [413, 'TASK_TOO_LARGE'])
  assert.deepEqual(codeOf(await post(nginx, Buffer.alloc(3_000_000))), [413, 'TASK_TOO_LARGE'])
  const port = Number(new URL(nginx.url).port)
  const raw = (headers: string) =>
    exchange(
      port,
      `POST /produce/${TOPIC} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n${headers}\r\nx`,
    )
  assert.match(await raw('Forebay-Key: a\r\nForebay-Key: b\r\n'), / 400 .*BAD_HEADER/s)
  assert.match(await raw('Forebay-Key: a\u0001\r\n'), / 400 .*BAD_HEADER/s)
  assert.match(await raw('Forebay-Key: a\rForebay-Source: b\r\n'), / 400 /)
  assert.match(await raw('Forebay-Key: a\r\n Transfer-Encoding: chunked\r\n'), / 400 /)
  assert.match(await raw('Content-Length: 100\r\n'), / 400 /)
  assert.match(await raw('Transfer-Encoding: chunked\r\n'), / 400 /)
  assert.match(await raw('Forebay-Key: fine\r\n'), / 200 .*durable/s)
  assert.equal((await rig.produced(1)).length, 1)
})

test('a collector that is killed under load: every 200 and 202 is in the log, the others are told as what they are', async () => {
  const port = await freePort()
  const config = { partitions: 1, edge: { http: { listen: `127.0.0.1:${port}` }, produce: [TOPIC] } }
  await using forebay = await startForebay({ config })
  await using nginx = await start(`127.0.0.1:${port}`)
  const kept = new Set<string>()
  const others = new Map<string, number>()
  let [serial, stop] = [0, false]
  const load = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!stop) {
        const id = `message ${serial++}`
        const { status, outcome } = await post(nginx, id)
        if (status === 200 || status === 202) kept.add(id)
        else {
          others.set(`${status} ${outcome}`, (others.get(`${status} ${outcome}`) ?? 0) + 1)
          await sleep(20)
        }
      }
    }),
  )
  for (let round = 0; round < KILLS; round++) {
    const before = kept.size
    while (kept.size < before + 100) await sleep(10)
    await forebay.kill9()
    await sleep(100)
    await forebay.start()
  }
  const before = kept.size
  while (kept.size < before + 20) await sleep(10)
  stop = true
  await load
  await forebay.stop()
  assert.ok((others.get('503 refused') ?? 0) > 0)
  for (const name of others.keys()) assert.match(name, /^503 (refused|unknown)$/)
  const found = await valuesOf(join(forebay.dir, 'data', 'log'))
  assert.deepEqual(
    [...kept].filter((id) => !found.has(id)),
    [],
  )
})

async function valuesOf(dir: string): Promise<ReadonlySet<string>> {
  const broker = embeddedBroker({ dir })
  await broker.open({ topics: [] })
  const [{ end }] = (await broker.inspect({ topics: [TOPIC] })) as unknown as [{ end: number }]
  const listener = await broker.listen({ topic: TOPIC, partition: 0, from: 'earliest' })
  const values = new Set<string>()
  for await (const records of listener) {
    for (const { value } of records) values.add(Buffer.from(value!).toString())
    if (records.at(-1)!.offset + 1 >= end) break
  }
  await listener.close()
  await broker.close()
  return values
}

test('access keys: of callers they are the collector’s to judge, and rows go with the one in the file', async () => {
  const key = 'open-sesame'
  const { createHash } = await import('node:crypto')
  const hash = createHash('sha256').update(key).digest('hex')
  await using rig = await startLuaRig({ keys: [hash] })
  writeFileSync(rig.file('key'), `${key}\n`)
  const flags = ['--collector', rig.address, '--collector-key', rig.file('key'), '--produce', TOPIC]
  await using nginx = await startGeneratedNginx([GATEWAY], { lua: true, flags })
  assert.deepEqual(codeOf(await post(nginx, 'x')), [401, 'UNAUTHENTICATED'])
  const own = { headers: { authorization: `Bearer ${key}` } }
  assert.equal((await post(nginx, 'x', own)).outcome, 'durable')
  const { rows } = await rig.until((seen) => seen.rows.length === 2)
  assert.deepEqual(
    rows.map(({ status }) => status),
    [401, 200],
  )
})

function codeOf({ status, code }: Answer) {
  return [status, code]
}

/** What is answered until the connection is closed. */
function exchange(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(request, 'latin1'))
    socket
      .setEncoding('latin1')
      .on('data', (piece: string) => {
        text += piece
      })
      .on('error', reject)
      .on('close', () => resolve(text))
  })
}
