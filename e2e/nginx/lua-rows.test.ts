import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '@forebay/broker'
import { checkLines } from '@forebay/edge'
import { type GeneratedNginx, type GeneratedNginxOptions, startGeneratedNginx } from '../../scripts/rig/nginx.ts'
import { type LuaRig, startLuaRig } from './lua-rig.ts'
import { type ScriptedGateways, scriptedGateways } from './scripted-gateway.ts'

let gateways: ScriptedGateways
before(async () => {
  gateways = await scriptedGateways(1)
})
after(() => gateways[Symbol.asyncDispose]())

function start(rig: LuaRig, flags: readonly string[] = [], more: GeneratedNginxOptions = {}): Promise<GeneratedNginx> {
  const http = gateways.addresses[0]!
  const options = { ...more, lua: true, flags: ['--collector', rig.address, ...flags] }
  return startGeneratedNginx([{ http, grpc: '127.0.0.1:9' }], options)
}

test('a row by Lua says the same as the line in the file, and shows headers, body and tags besides', async () => {
  await using rig = await startLuaRig()
  const flags = ['--log-header', 'X-Tenant', '--log-body', 'errors', '--log-body-max', '10']
  const tags = `access_by_lua_block { ngx.ctx.forebay_tags = { plan = "gold", odd = { 1.5, 0/0, true, print, "\\n" } } }`
  await using nginx = await start(rig, flags, { more: tags })
  gateways.answers({ status: 200 }, { status: 400 })
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const headers = { traceparent, 'x-tenant': 'näher "acme"\\', referer: 'https://a.example/x', 'user-agent': 'curl/8' }
  await fetch(`${nginx.url}/v1/tasks/abc?x=1&token=sesame`, { headers })
  await fetch(`${nginx.url}/v1/queues/q/tasks`, { method: 'POST', body: '0123456789abc' })
  const { rows, epochs } = await rig.until(({ rows }) => rows.length === 2)
  const lines = await linesOf(nginx.accessLog, 2)
  const written = checkLines(Buffer.from(`${lines.join('\n')}\n`), 'json', systemClock).rows
  for (const [index, row] of rows.entries()) {
    const { tags, ...same } = row
    assert.deepEqual(same, { ...written[index], query: row.query })
  }
  assert.equal(rows[0]!.query, 'x=1&token=[redacted]')
  assert.equal(rows[0]!.trace, '4bf92f3577b34da6a3ce929d0e0e4736')
  assert.equal(rows[0]!.task, 'abc')
  assert.equal(rows[0]!.upstream, gateways.addresses[0])
  const own = { plan: 'gold', odd: [1.5, null, true, null, '\n'] }
  assert.deepEqual(rows[0]!.tags, { ...own, headers: { 'x-tenant': 'n\ufffdher "acme"\\' } })
  assert.deepEqual(rows[1]!.tags, { ...own, body: '0123456789' })
  assert.equal(rows[1]!.status, 400)
  const [places] = [...epochs.values()]
  assert.deepEqual([places!.bounds[0], places!.gaps()], [0, []])
})

test('hostile requests: each is one row that can be read', async () => {
  await using rig = await startLuaRig()
  await using nginx = await start(rig, ['--log-header', 'x-odd'])
  const port = Number(new URL(nginx.url).port)
  const odd = [
    Buffer.from('\u0001\u001b[31m"\\\u007f'),
    Buffer.from([0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf5]),
    Buffer.from('e\u0301 \u{1f680}'),
    Buffer.alloc(8_000, 'a'),
    Buffer.alloc(8_000, 0xc3),
    Buffer.alloc(15_000, 1),
  ]
  for (const value of odd) {
    await sent(
      port,
      Buffer.concat([
        Buffer.from('GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: '),
        value,
        Buffer.from('\r\nX-Odd: '),
        value,
        Buffer.from('\r\n\r\n'),
      ]),
    )
  }
  await sent(port, Buffer.from('GET /a\xff\xfe?q=%00"\\ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 'latin1'))
  await sent(port, Buffer.from('nonsense\r\n\r\n'))
  const wanted = odd.length + 2
  const { rows, undecodable, dropped } = await rig.until(
    ({ rows, undecodable }) => rows.length + undecodable === wanted,
  )
  assert.deepEqual([undecodable, dropped], [0, 0])
  assert.equal(rows[0]!.userAgent, odd[0]!.toString())
  assert.equal(rows[2]!.userAgent, odd[2]!.toString())
  assert.equal(rows[3]!.userAgent, odd[3]!.toString())
  assert.deepEqual([rows[wanted - 1]!.method, rows[wanted - 1]!.path], ['', 'nonsense'])
})

/** nginx writes them a second late. */
async function linesOf(path: string, count: number): Promise<string[]> {
  for (;;) {
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
    if (lines.length >= count) return lines
    await sleep(50)
  }
}

test('the collector away: rows wait and then come, whole; what the ring has no room for is counted exactly', async () => {
  await using rig = await startLuaRig()
  await using nginx = await start(rig, ['--lua-buffer', '256k'])
  await asked(nginx, 20)
  await rig.until(({ rows }) => rows.length === 20)
  await rig.away()
  await asked(nginx, 50)
  await rig.back()
  const waited = await rig.until(({ rows }) => rows.length === 70)
  assert.equal(waited.dropped, 0)
  await rig.away()
  await asked(nginx, 800)
  const status = await (await fetch(`${nginx.url}/.forebay/edge`)).text()
  assert.match(status, /forebay_nginx_waiting_rows [1-9]/)
  await rig.back()
  const all = 871
  const { rows, dropped, epochs } = await rig.until((seen) => seen.rows.length + seen.dropped === all)
  assert.ok(dropped > 100 && rows.length > 100, `${rows.length} rows, ${dropped} dropped`)
  assert.deepEqual(
    [...epochs.values()].map((places) => [places.bounds[0], places.gaps()]),
    [[0, []]],
  )
  const told = await (await fetch(`${nginx.url}/.forebay/edge`)).text()
  assert.equal(Number(/dropped_rows_total (\d+)/.exec(told)![1]), dropped)
  assert.match(nginx.output(), /does not take them/)
})

test('reloads and workers killed with -9: what was logged is there, once', async () => {
  await using rig = await startLuaRig()
  await using nginx = await start(rig, [], { workers: 2 })
  let answered = 0
  let stop = false
  const load = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!stop) {
        await fetch(`${nginx.url}/livez`).then(
          () => answered++,
          () => {},
        )
      }
    }),
  )
  for (let round = 0; round < 6; round++) {
    await sleep(300)
    if (round % 2 === 0) process.kill(nginx.pid, 'SIGHUP')
    else for (const worker of workersOf(nginx.pid).slice(0, 1)) process.kill(worker, 'SIGKILL')
  }
  stop = true
  await load
  const { rows, dropped, epochs } = await rig.until((seen) => seen.rows.length + seen.dropped >= answered)
  const lines = await linesOf(nginx.accessLog, 1)
  assert.equal(new Set(rows.map(({ requestId }) => requestId)).size, rows.length)
  assert.ok(dropped <= 3, `${dropped} dropped: at most the row that a worker was just writing`)
  assert.deepEqual(
    [...epochs.values()].map((places) => [places.bounds[0], places.gaps()]),
    [[0, []]],
  )
  assert.ok(lines.length > 0)
})

test('nginx that is told to quit hands over what it has first', async () => {
  await using rig = await startLuaRig()
  await using nginx = await start(rig, [], { workers: 2 })
  await asked(nginx, 30)
  process.kill(nginx.pid, 'SIGQUIT')
  const { rows, dropped } = await rig.until((seen) => seen.rows.length === 30)
  assert.deepEqual([rows.length, dropped], [30, 0])
})

async function asked(nginx: GeneratedNginx, count: number): Promise<void> {
  let left = count
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      while (left-- > 0) await (await fetch(`${nginx.url}/livez`)).arrayBuffer()
    }),
  )
}

function workersOf(master: number): number[] {
  return execFileSync('pgrep', ['-P', String(master)], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map(Number)
}

function sent(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    socket
      .on('error', reject)
      .on('close', () => resolve())
      .resume()
  })
}
