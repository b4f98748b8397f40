import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accessLine, collectOn, collectorOptions, openLog, rowsUntil, temporaryFolder, textOf } from './edge-rig.ts'

test('a batch that is sent again, with what its sender lost, becomes the same rows byte for byte', async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const options = collectorOptions(folder.path, {
    http: { listen: { host: '127.0.0.1', port: 0 }, unix: null, keys: [] },
  })
  const collector = await collectOn(broker, options)
  const headers = {
    'forebay-source': 'web-1/lua',
    'forebay-epoch': '7',
    'forebay-first': '10',
    'forebay-dropped': '3',
    'forebay-dropped-at': '1763733301123',
  }
  const body = `${accessLine()}\n`
  for (let time = 0; time < 2; time++) {
    const url = `http://127.0.0.1:${collector.ports.http}/v1/edge/logs`
    const answered = await fetch(url, { method: 'POST', body, headers })
    assert.equal(answered.status, 202)
    await answered.arrayBuffer()
  }
  const rows = await rowsUntil(broker, (seen) => seen.length === 4)
  await collector.stop({ graceMs: 500 })
  await broker.close()
  const [first, second, ...again] = rows.map(({ record }) => textOf(record))
  assert.deepEqual(again, [first, second])
  assert.match(first!, /"kind":"dropped","time":"2025-11-21T13:55:01.123Z"/)
})
