import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Broker } from '@forebay/broker'
import { type Collector, type DroppedRow, Intervals, LOGS_TOPIC, type LogRow } from '@forebay/edge'
import pinoTransport, { type PinoTransportOptions } from '../src/pino/transport.ts'
import { collectOn, collectorOptions, openLog, rowsUntil, type Seen, temporaryFolder } from './edge-rig.ts'

const SERVICE = fileURLToPath(new URL('pino-service.ts', import.meta.url))

interface Running extends AsyncDisposable {
  readonly broker: Broker
  readonly unix: string
  startCollector(): Promise<Collector>
  startService(more?: Partial<PinoTransportOptions>): ChildProcessWithoutNullStreams
}

async function run(): Promise<Running> {
  const folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const unix = join(folder.path, 'edge.sock')
  const options = collectorOptions(folder.path, { http: { listen: null, unix, keys: [] } })
  const collectors: Collector[] = []
  const services: ChildProcessWithoutNullStreams[] = []
  return {
    ...{ broker, unix },
    async startCollector() {
      const collector = await collectOn(broker, options)
      collectors.push(collector)
      return collector
    },
    startService(more = {}) {
      const given = { collector: `unix:${unix}`, service: 'billing', instance: 'web-1', batchMs: 20, ...more }
      const service = spawn(process.execPath, [SERVICE, JSON.stringify(given)])
      services.push(service)
      return service
    },
    async [Symbol.asyncDispose]() {
      for (const service of services) service.kill('SIGKILL')
      for (const collector of collectors) await collector.stop({ graceMs: 500 })
      await broker.close()
      folder[Symbol.dispose]()
    },
  }
}

async function logLines(service: ChildProcessWithoutNullStreams, count: number): Promise<void> {
  service.stdin.write(`${count}\n`)
  await once(service.stdout, 'data')
}

function linesOf(rows: readonly Seen[]): number[] {
  const places = new Map<string, Intervals>()
  const serials: number[] = []
  for (const { row, position } of rows) {
    if (row.kind !== 'log') continue
    const epoch = `${position.source}@${position.epoch}`
    if (!places.has(epoch)) places.set(epoch, new Intervals())
    if (places.get(epoch)!.add(position.first, position.end)) serials.push((row as LogRow).attributes.serial as number)
  }
  for (const seen of places.values()) assert.deepEqual([seen.bounds[0], seen.gaps()], [0, []])
  return serials
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)

test('a service logs on while its collector is gone; when it is back every line is there, once and in order', async () => {
  await using running = await run()
  const first = await running.startCollector()
  const service = running.startService()
  await logLines(service, 500)
  await rowsUntil(running.broker, (rows) => rows.length >= 1, LOGS_TOPIC)
  await first.stop({ graceMs: 0 })
  await logLines(service, 500)
  await running.startCollector()
  await logLines(service, 100)
  const rows = await rowsUntil(running.broker, (seen) => new Set(linesOf(seen)).size === 1_100, LOGS_TOPIC)
  assert.deepEqual(linesOf(rows), upTo(1_100))
  const [{ row, position }] = rows as [Seen]
  assert.equal(position.source, 'billing/web-1')
  assert.deepEqual(row, {
    ...{ v: 1, kind: 'log', time: (row as LogRow).time, severity: 9, severityText: 'info', body: 'line 0' },
    ...{ service: 'billing', server: 'web-1', scope: '', event: '', trace: '4bf92f3577b34da6a3ce929d0e0e4736' },
    ...{ span: '', task: '', attributes: { serial: 0, password: 'sesame' }, resource: {} },
  })
})

test('more than the buffer holds is dropped, and a row says how many lines that was', async () => {
  await using running = await run()
  const service = running.startService({ bufferBytesMax: 20_000 })
  await logLines(service, 1_000)
  await running.startCollector()
  const dropped = (rows: readonly Seen[]) =>
    rows.reduce((sum, { row }) => sum + (row.kind === 'dropped' ? ((row as DroppedRow).lines ?? 0) : 0), 0)
  const rows = await rowsUntil(running.broker, (seen) => linesOf(seen).length + dropped(seen) >= 1_000, LOGS_TOPIC)
  assert.ok(dropped(rows) > 0)
  assert.equal(linesOf(rows).length + dropped(rows), 1_000)
  await logLines(service, 1)
  const later = await rowsUntil(running.broker, (seen) => linesOf(seen).includes(1_000), LOGS_TOPIC)
  assert.equal(linesOf(later).length + dropped(later), 1_001)
})

test('what was logged before the process ended is there, however it ended', async () => {
  await using running = await run()
  await running.startCollector()
  const sudden = running.startService({ batchMs: 10_000 })
  sudden.stdin.write('50\nexit\n')
  const orderly = running.startService({ batchMs: 10_000 })
  orderly.stdin.end('50\n')
  assert.deepEqual(await Promise.all([once(sudden, 'close'), once(orderly, 'close')]), [
    [0, null],
    [0, null],
  ])
  const rows = await rowsUntil(running.broker, (seen) => linesOf(seen).length === 100, LOGS_TOPIC)
  assert.deepEqual(
    linesOf(rows).sort((one, other) => one - other),
    [...upTo(50), ...upTo(50)].sort((a, b) => a - b),
  )
})

test('a service whose collector never comes ends all the same, and says what is lost', async () => {
  await using running = await run()
  const service = running.startService({ exitMs: 200 })
  let said = ''
  service.stderr.on('data', (text) => (said += text))
  service.stdin.end('7\n')
  await once(service, 'close')
  assert.match(said, /forebay logs: logs do not reach the collector/)
  assert.match(said, /7 log lines of billing\/web-1 did not reach the collector/)
})

test('options that cannot be used are refused by name', () => {
  const options = { collector: 'http://127.0.0.1:1', service: 'billing' }
  for (const wrong of [{ collector: '127.0.0.1:1' }, { service: 'a b' }, { exitMs: 60_000 }, { bufferBytesMax: 1 }]) {
    assert.throws(
      () => pinoTransport({ ...options, ...wrong }),
      new RegExp(`${Object.keys(wrong)[0]}: .* cannot be used`),
    )
  }
})
