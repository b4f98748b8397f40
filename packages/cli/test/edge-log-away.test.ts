import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { embeddedBroker } from '@forebay/broker/embedded'
import { EDGE_TOPIC } from '@forebay/edge'
import { freePort, startProcess } from '../../../scripts/rig/process.ts'
import { MAIN, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

test('a collector by itself takes and keeps lines before its log is there, ends when it is asked to, and ships them at its next start', async () => {
  using folder = temporaryFolder()
  const nobody = await freePort()
  const config = `broker: kafka://127.0.0.1:${nobody}
http: { listen: 127.0.0.1:0 }
grpc: { listen: 127.0.0.1:0 }
stopGrace: 500ms
edge: { syslog: { udp: 127.0.0.1:0 }, http: { listen: 127.0.0.1:0 }, produce: [orders] }
`
  writeFileSync(join(folder.path, 'forebay.yaml'), config)
  await using collector = startProcess({
    name: 'collector',
    command: process.execPath,
    args: [MAIN, 'up', '--roles', 'collector'],
    cwd: folder.path,
  })
  const [, udp, http] = await collector.line(/"udp":(\d+),.*"http":(\d+).*"collecting access logs"/)
  const socket = createSocket('udp4')
  socket.send('<190>Nov 21 13:55:01 nginx: {"v":1,"kind":"access","path":"/","query":""}', Number(udp), '127.0.0.1')
  const url = `http://127.0.0.1:${http}/v1/edge`
  const logs = await fetch(`${url}/logs`, { method: 'POST', body: '{"path":"/"}\n' })
  assert.deepEqual([logs.status, await logs.json()], [202, { kept: 1, durability: 'spooled' }])
  const message = await fetch(`${url}/produce/orders`, { method: 'POST', body: 'an order' })
  assert.equal(message.status, 202)
  assert.equal(((await message.json()) as { outcome: string }).outcome, 'spooled')
  const closed = once(socket, 'close')
  socket.close()
  await closed
  const { code } = await collector.stop()
  assert.equal(code, 0, collector.output())

  const log = join(folder.path, '.forebay', 'log')
  await using server = await up(folder.path, ['--set', 'broker=embedded', '--set', 'partitions=1'])
  for (let behind = ''; behind !== '0'; ) {
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    behind = /^forebay_edge_behind_bytes\{place="spool"\} (\d+)/m.exec(metrics)?.[1] ?? ''
    await sleep(20)
  }
  server.child.kill('SIGTERM')
  await server.stopped
  const broker = embeddedBroker({ dir: log })
  await broker.open({ topics: [] })
  const ends = await broker.inspect({ topics: [EDGE_TOPIC, 'orders'] })
  await broker.close()
  assert.deepEqual(
    ends.map(({ topic, end }) => [topic, end]),
    [
      // The two lines, and a row of the time in which nobody collected.
      [EDGE_TOPIC, 3],
      ['orders', 1],
    ],
  )
})
