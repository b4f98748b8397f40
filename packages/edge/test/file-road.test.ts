import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { accessLine, collectOn, collectorOptions, openLog, rowsUntil, temporaryFolder, textOf } from './edge-rig.ts'

test('each line of a file becomes a record of the same bytes that knows where it stood', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'access.log')
  const lines = [accessLine(), accessLine({ userAgent: 'Wägelchen "7"' }), accessLine()]
  appendFileSync(path, `${lines.slice(0, 2).join('\n')}\n`)
  const broker = await openLog(folder.path)
  const options = collectorOptions(folder.path, { files: [{ path, format: 'json', from: 'start' }] })
  const collector = await collectOn(broker, options)
  await rowsUntil(broker, (rows) => rows.length === 2)
  appendFileSync(path, lines[2]!.slice(0, 100))
  appendFileSync(path, `${lines[2]!.slice(100)}\n`)
  const rows = await rowsUntil(broker, (seen) => seen.length === 3)
  assert.deepEqual(
    rows.map(({ record }) => textOf(record)),
    lines,
  )
  let at = 0
  for (const [index, { position, record }] of rows.entries()) {
    const end = at + Buffer.byteLength(lines[index]!) + 1
    assert.deepEqual(position, { source: `web-1:${path}`, epoch: rows[0]!.position.epoch, first: at, end })
    assert.equal(Buffer.from(record.key!).toString(), `web-1:${path}`)
    at = end
  }
  await collector.stop()
  await broker.close()
})
