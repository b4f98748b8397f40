import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Broker } from '@forebay/broker'
import { accessLine, collectOn, collectorOptions, openLog, rowsUntil, temporaryFolder } from './edge-rig.ts'

const HTTP = { listen: { host: '127.0.0.1', port: 0 }, unix: null, keys: [] } as const

test('a second collector on the same folder is refused, and what the first one took arrives all the same', async () => {
  using folder = temporaryFolder()
  const log = await openLog(folder.path)
  const options = collectorOptions(folder.path, { http: HTTP })
  // So that its rows wait in the spool, which the second would take for a dead collector's.
  const open = Promise.withResolvers<void>()
  const slow: Broker = Object.assign(Object.create(log) as Broker, {
    publish: (records: Parameters<Broker['publish']>[0]) => open.promise.then(() => log.publish(records)),
    capabilities: log.capabilities,
  })
  const first = await collectOn(slow, options)
  try {
    const send = () =>
      fetch(`http://127.0.0.1:${first.ports.http}/v1/edge/logs`, { method: 'POST', body: `${accessLine()}\n` })
    assert.equal((await send()).status, 202)
    await assert.rejects(collectOn(log, options), { code: 'DATA_IN_USE' })
    assert.equal((await send()).status, 202)
    open.resolve()
    assert.equal((await rowsUntil(log, (seen) => seen.length >= 2)).length, 2)
    await first.stop()
    const next = await collectOn(log, options)
    await next.stop()
  } finally {
    open.resolve()
    await first.stop()
    await log.close()
  }
})
