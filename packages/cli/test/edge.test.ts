import assert from 'node:assert/strict'
import { once } from 'node:events'
import { appendFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { embeddedBroker } from '@forebay/broker/embedded'
import { EDGE_TOPIC, Intervals, readPosition } from '@forebay/edge'
import { temporaryFolder } from './run-forebay.ts'
import { type Up, up } from './run-up.ts'

const CONFIG = 'partitions: 1\nedge: { files: [{ path: access.log }], http: { unix: edge.sock } }\n'

test('forebay up collects an access log; killed with -9 twice while it is rotated, every line is there and once by its place', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'forebay.yaml'), CONFIG)
  const path = join(folder.path, 'access.log')
  const written: string[] = []
  const write = (count: number) => {
    for (let index = 0; index < count; index++) {
      const requestId = written.length.toString(16).padStart(32, '0')
      written.push(requestId)
      appendFileSync(
        path,
        `{"v":1,"kind":"access","path":"/","query":"","requestId":"${requestId}","trace":"","task":""}\n`,
      )
    }
  }
  write(500)
  for (let round = 0; round < 2; round++) {
    await using server = await up(folder.path)
    await collected(server, round === 0 ? 500 : 600)
    write(300)
    renameSync(path, `${path}.${round}`)
    write(200)
    server.child.kill('SIGKILL')
    await once(server.child, 'close')
    renameSync(path, `${path}.${round}.b`)
    write(100)
  }
  await using server = await up(folder.path)
  await collected(server, 1)
  server.child.kill('SIGTERM')
  await once(server.child, 'close')

  const seen = new Map<string, Intervals>()
  const found: string[] = []
  const broker = embeddedBroker({ dir: join(folder.path, '.forebay', 'log') })
  await broker.open({ topics: [] })
  const [{ end }] = (await broker.inspect({ topics: [EDGE_TOPIC] })) as unknown as [{ end: number }]
  const listener = await broker.listen({ topic: EDGE_TOPIC, partition: 0, from: 'earliest' })
  for await (const records of listener) {
    for (const record of records) {
      const { source, epoch, first, end: last } = readPosition(record)!
      const places = seen.get(`${source}@${epoch}`) ?? new Intervals()
      seen.set(`${source}@${epoch}`, places)
      if (!places.add(first, last)) continue
      const row = JSON.parse(Buffer.from(record.value!).toString()) as { kind: string; requestId: string }
      assert.equal(row.kind, 'access')
      found.push(row.requestId)
    }
    if (records.at(-1)!.offset + 1 >= end) break
  }
  await listener.close()
  await broker.close()
  assert.deepEqual(found.sort(), written)
  for (const places of seen.values()) assert.deepEqual([places.bounds[0], places.gaps()], [0, []])
})

/** Waits until nothing of the files is left behind, and this many rows at least have been counted. */
async function collected(server: Up, rows: number): Promise<void> {
  for (;;) {
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    const value = (name: string) => Number(new RegExp(`^${name} (\\d+)`, 'm').exec(metrics)?.[1] ?? Number.NaN)
    const behind = value('forebay_edge_behind_bytes\\{place="files"\\}')
    if (behind === 0 && value('forebay_edge_rows_total\\{road="file"\\}') >= rows) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
