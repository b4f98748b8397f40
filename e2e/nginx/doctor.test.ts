import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { forebay, temporaryFolder } from '../../packages/cli/test/run-forebay.ts'
import { hasNginx, startGeneratedNginx } from '../../scripts/rig/nginx.ts'

const skip = hasNginx() ? false : 'nginx is not on this machine'

test('what a real nginx writes by our configuration agrees with the collector, and its own format does not', {
  skip,
}, async () => {
  using folder = temporaryFolder()
  const gateway = createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1')
  await once(gateway, 'listening')
  const http = `127.0.0.1:${(gateway.address() as { port: number }).port}`
  await using nginx = await startGeneratedNginx([{ http, grpc: http }])
  for (let count = 0; count < 5; count++) await (await fetch(`${nginx.url}/v1/tasks/${count}?token=a%20b`)).text()
  // It writes them a second later, or when its buffer is full.
  while (!existsSync(nginx.accessLog) || readFileSync(nginx.accessLog, 'utf8').split('\n').length < 6) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const formatOf = async (files: readonly object[]) => {
    writeFileSync(join(folder.path, 'forebay.yaml'), JSON.stringify({ edge: { files } }))
    const { stdout } = await forebay(['doctor', 'edge', '--json'], { cwd: folder.path })
    const { findings } = JSON.parse(stdout) as { findings: { check: string; state: string; saw: string }[] }
    return findings.find(({ check }) => check === 'log format')!
  }
  const agrees = await formatOf([{ path: nginx.accessLog }])
  assert.equal(agrees.state, 'ok', agrees.saw)
  assert.match(agrees.saw, /^the last 5 lines are json, version 1; the newest is of 20\d\d-/)
  const mistaken = await formatOf([{ path: nginx.accessLog, format: 'combined' }])
  assert.equal(mistaken.state, 'fail')
  assert.match(
    mistaken.saw,
    /^5 of the last 5 lines cannot be read as combined \(not-the-format\), the first: \{"nginx":1/,
  )
  const combined = join(folder.path, 'combined.log')
  writeFileSync(combined, '10.0.0.1 - - [21/Nov/2026:13:55:01 +0000] "GET / HTTP/1.1" 200 612 "-" "curl/8.0"\n')
  assert.equal((await formatOf([{ path: combined }])).state, 'fail')
  assert.equal((await formatOf([{ path: combined, format: 'combined' }])).state, 'ok')
  gateway.close()
  gateway.closeAllConnections()
})
