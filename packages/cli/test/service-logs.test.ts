import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { embeddedBroker } from '@forebay/broker/embedded'
import { Intervals, LOGS_TOPIC, type LogRow, readPosition } from '@forebay/edge'
import { temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

const SERVICE = fileURLToPath(new URL('../../edge/test/pino-service.ts', import.meta.url))

test('a service logs by pino while its collector is killed with -9 and started again: every line is there, once by its place', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'forebay.yaml'), 'partitions: 1\nedge: { http: { unix: edge.sock } }\n')
  const options = {
    collector: `unix:${join(folder.path, 'edge.sock')}`,
    service: 'billing',
    batchMs: 20,
    exitMs: 9_000,
  }
  const service = spawn(process.execPath, [SERVICE, JSON.stringify(options)])
  service.stderr.resume()
  const logLines = async (count: number) => {
    service.stdin.write(`${count}\n`)
    await once(service.stdout, 'data')
  }
  {
    await using server = await up(folder.path)
    await logLines(300)
    for (let kept = 0; kept === 0; ) {
      const metrics = await (await fetch(`${server.url}/metrics`)).text()
      kept = Number(/^forebay_edge_rows_total\{road="http"\} (\d+)/m.exec(metrics)?.[1] ?? 0)
    }
    await logLines(300)
    server.child.kill('SIGKILL')
    await once(server.child, 'close')
  }
  await logLines(300)
  await using server = await up(folder.path)
  service.stdin.end('300\n')
  assert.deepEqual(await once(service, 'close'), [0, null])
  server.child.kill('SIGTERM')
  assert.equal((await server.stopped).code, 0)

  const { serials, places } = await readLog(join(folder.path, '.forebay', 'log'))
  assert.deepEqual(
    serials,
    Array.from({ length: 1_200 }, (_, serial) => serial),
  )
  assert.deepEqual([places.bounds[0], places.gaps()], [0, []])
})

async function readLog(dir: string): Promise<{ readonly serials: readonly number[]; readonly places: Intervals }> {
  const broker = embeddedBroker({ dir })
  await broker.open({ topics: [] })
  const [{ end }] = (await broker.inspect({ topics: [LOGS_TOPIC] })) as unknown as [{ end: number }]
  const listener = await broker.listen({ topic: LOGS_TOPIC, partition: 0, from: 'earliest' })
  const places = new Intervals()
  const serials: number[] = []
  for await (const records of listener) {
    for (const record of records) {
      const { first, end: last } = readPosition(record)!
      if (!places.add(first, last)) continue
      serials.push((JSON.parse(Buffer.from(record.value!).toString()) as LogRow).attributes.serial as number)
    }
    if (records.at(-1)!.offset + 1 >= end) break
  }
  await listener.close()
  await broker.close()
  return { serials, places }
}
