import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Broker } from '@forebay/broker'
import { systemClock } from '@forebay/broker'
import { type Collector, type CollectorOptions, EDGE_TOPIC } from '@forebay/edge'
import { accessLine, collectOn, collectorOptions, openLog, rowsUntil, temporaryFolder, textOf } from './edge-rig.ts'

const LOOPBACK = { host: '127.0.0.1', port: 0 }
const SYSLOG = { udp: LOOPBACK, tcp: LOOPBACK, unix: null, format: 'json' } as const
const HTTP = { listen: LOOPBACK, unix: null, keys: [] } as const

interface Running extends AsyncDisposable {
  readonly dir: string
  readonly broker: Broker
  readonly collector: Collector
}

async function run(more: Partial<CollectorOptions>, wrap = (broker: Broker) => broker): Promise<Running> {
  const folder = temporaryFolder()
  const broker = await openLog(folder.path, [EDGE_TOPIC, 'orders'])
  const options = collectorOptions(folder.path, more)
  const collector = await collectOn(wrap(broker), options)
  return {
    ...{ dir: folder.path, broker, collector },
    async [Symbol.asyncDispose]() {
      await collector.stop({ graceMs: 500 })
      await broker.close()
      folder[Symbol.dispose]()
    },
  }
}

/** A log that takes nothing until it is told to. */
function away(broker: Broker): { readonly broker: Broker; back(): void } {
  let isAway = true
  const publish: Broker['publish'] = (records) => {
    if (!isAway) return broker.publish(records)
    return Promise.reject(new Error('away'))
  }
  return {
    broker: { ...broker, capabilities: broker.capabilities, publish },
    back() {
      isAway = false
    },
  }
}

test('syslog by UDP as nginx writes it: the rows are the lines, with places that leave no gap', async () => {
  await using running = await run({ syslog: SYSLOG })
  const lines = [accessLine(), accessLine(), accessLine()]
  const socket = createSocket('udp4')
  const send = (text: string) =>
    new Promise((resolve) => socket.send(text, running.collector.ports.udp!, '127.0.0.1', resolve))
  await send(`<190>Nov 21 13:55:01 web-1 nginx: ${lines[0]}`)
  await send(`<190>Nov  1 13:55:01 forebay: ${lines[1]}`)
  await send(`<190>1 2026-11-21T13:55:01Z web-1 nginx - - - ${lines[2]}\n`)
  const rows = await rowsUntil(running.broker, (seen) => seen.length === 3)
  socket.close()
  assert.deepEqual(
    rows.map(({ record }) => textOf(record)),
    lines,
  )
  assert.deepEqual(
    rows.map(({ position }) => [position.source, position.first]),
    rows.map((_, index) => ['web-1:udp', rows[index - 1]?.position.end ?? 0]),
  )
})

test('syslog by TCP: counted and line by line, in whatever pieces they come', async () => {
  await using running = await run({ syslog: SYSLOG })
  const lines = [accessLine(), accessLine(), accessLine({ userAgent: 'é' })]
  const framed = (line: string) => {
    const message = `<190>Nov 21 13:55:01 web-1 nginx: ${line}`
    return `${Buffer.byteLength(message)} ${message}`
  }
  const bytes = Buffer.from(`${framed(lines[0]!)}<190>nginx: broken\n${framed(lines[1]!)}${framed(lines[2]!)}`)
  const socket = connect(running.collector.ports.tcp!, '127.0.0.1')
  for (let at = 0; at < bytes.length; at += 97) socket.write(bytes.subarray(at, at + 97))
  socket.end()
  const rows = await rowsUntil(running.broker, (seen) => seen.length === 4)
  const texts = rows.map(({ record }) => textOf(record))
  assert.deepEqual([texts[0], texts[2], texts[3]], lines)
  assert.equal(rows[1]!.row.kind, 'undecodable')
})

test('a batch over HTTP is answered when it is on the disk, and keeps the places that its sender gave', async () => {
  await using running = await run({ http: HTTP })
  const url = `http://127.0.0.1:${running.collector.ports.http}/v1/edge/logs`
  const body = `${accessLine()}\n${accessLine({ query: 'a=1&Token=sesame' })}\n`
  const headers = {
    'forebay-source': 'lua/web-1',
    'forebay-epoch': '7',
    'forebay-first': '1000',
    'forebay-dropped': '3',
  }
  const answered = await fetch(url, { method: 'POST', body, headers })
  assert.equal(answered.status, 202)
  assert.deepEqual(await answered.json(), { kept: 2, durability: 'spooled' })
  const rows = await rowsUntil(running.broker, (seen) => seen.length === 3)
  assert.deepEqual(
    rows.map(({ row, position }) => [row.kind, position.source, position.epoch, position.first]),
    [
      ['dropped', 'lua/web-1', '7', 1000],
      ['access', 'lua/web-1', '7', 1000],
      ['access', 'lua/web-1', '7', 1000 + body.indexOf('\n') + 1],
    ],
  )
  assert.match(textOf(rows[2]!.record), /"query":"a=1&Token=\[redacted\]"/)
  const wrong = await fetch(url, { method: 'POST', body, headers: { ...headers, 'forebay-source': 'web-1:udp' } })
  assert.equal(wrong.status, 400)
  assert.equal(((await wrong.json()) as { code: string }).code, 'BAD_HEADER')
})

test('what is produced at the edge is durable, spooled or refused, and the answer says which', async () => {
  let log: ReturnType<typeof away> | null = null
  const small = { bytesMax: 4_000, whenFull: 'refuse' } as const
  await using running = await run({ http: HTTP, produce: ['orders'], spool: small }, (broker) => {
    log = away(broker)
    return log.broker
  })
  const url = `http://127.0.0.1:${running.collector.ports.http}/v1/edge/produce`
  const post = async (body: string, topic = 'orders') => {
    const headers = { 'content-type': 'text/plain', 'forebay-key': 'ann', 'ce-id': body.slice(0, 3) }
    const answered = await fetch(`${url}/${topic}`, { method: 'POST', body, headers })
    return { status: answered.status, ...((await answered.json()) as { outcome?: string; code?: string }) }
  }
  assert.equal((await post('xxx', 'secrets')).status, 403)
  const first = await post('one')
  const outcomes = [first.outcome]
  while (outcomes.at(-1) === 'spooled') outcomes.push((await post(`more${'.'.repeat(500)}`)).outcome)
  assert.equal(outcomes.at(-1), 'refused')
  log!.back()
  while ((await post('last')).outcome !== 'durable') await systemClock.sleep(50)
  const listener = await running.broker.listen({ topic: 'orders', partition: 0, from: 'earliest' })
  const values: string[] = []
  for await (const records of listener) {
    for (const record of records) {
      values.push(textOf(record).slice(0, 4))
      assert.equal(Buffer.from(record.key!).toString(), 'ann')
      assert.ok(record.headers.some(([name]) => name === 'ce_id'))
    }
    if (values.at(-1) === 'last') break
  }
  await listener.close()
  assert.equal(values[0], 'one')
  assert.equal(
    values.filter((value) => value === 'more').length,
    outcomes.filter((one) => one === 'spooled').length - 1,
  )
})

test('a unix socket and access keys: who has none is refused', async () => {
  const key = 'open-sesame'
  const sha256 = (await import('node:crypto')).createHash('sha256').update(key).digest('hex')
  using folder = temporaryFolder()
  const unix = join(folder.path, 'edge.sock')
  await using running = await run({ http: { listen: null, unix, keys: [sha256] } })
  const post = async (authorization?: string) => {
    const sent = request({
      socketPath: unix,
      path: '/v1/edge/logs',
      method: 'POST',
      headers: authorization ? { authorization } : {},
    })
    sent.end(`${accessLine()}\n`)
    const [answered] = (await once(sent, 'response')) as [{ statusCode: number; resume(): void }]
    answered.resume()
    return answered.statusCode
  }
  assert.equal(await post(), 401)
  assert.equal(await post('Bearer guess'), 401)
  assert.equal(await post(`Bearer ${key}`), 202)
  assert.equal((await rowsUntil(running.broker, (seen) => seen.length === 1)).length, 1)
})
