import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { createHealthDoor } from '../src/accept/health-door.ts'
import { createMetrics } from '../src/telemetry.ts'

test('a process that is no gateway tells its health and its metrics, and nothing else', async () => {
  const reasons: string[] = []
  const telemetry = { log: pino({ level: 'silent' }), metrics: createMetrics() }
  const health = () => ({ ready: reasons.length === 0, reasons, profile: 'replicated' as const })
  const door = createHealthDoor({ http: { host: '127.0.0.1', port: 0 }, health, telemetry })
  const { port } = await door.listen()
  const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`)
  assert.equal((await get('/livez')).status, 200)
  assert.equal((await get('/readyz?verbose')).status, 200)
  assert.match(await (await get('/metrics')).text(), /forebay_attempts_total/)
  assert.equal((await get('/v1/queues/q/tasks')).status, 404)
  reasons.push('the log is away')
  const behind = await get('/readyz')
  assert.equal(behind.status, 503)
  assert.deepEqual(await behind.json(), { ready: false, profile: 'replicated', reasons: ['the log is away'] })
  reasons.pop()
  door.drain()
  assert.equal((await get('/readyz')).status, 503)
  assert.equal((await get('/livez')).status, 200)
  await door.close()
})
