import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, chmodSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort } from '../../../scripts/rig/process.ts'
import { forebay, MAIN, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

interface Told {
  readonly ok: boolean
  readonly findings: readonly {
    readonly check: string
    readonly state: string
    readonly tried: string
    readonly saw: string
    readonly fix: readonly string[]
  }[]
}

async function doctor(folder: string, ...args: readonly string[]): Promise<Told & { readonly code: number }> {
  const { code, stdout, stderr } = await forebay(['doctor', 'edge', '--json', ...args], { cwd: folder })
  assert.match(stdout, /^\{/, stderr)
  return { code, ...(JSON.parse(stdout) as Told) }
}

const statesOf = ({ findings }: Told) => findings.map(({ check, state }) => `${check} ${state}`)

async function configured(folder: string) {
  const ports = { grpc: await freePort(), udp: await freePort(), tcp: await freePort(), http: await freePort() }
  const at = (port: number) => `127.0.0.1:${port}`
  const edge = {
    name: 'web-1',
    files: [{ path: 'access.log' }],
    syslog: { udp: at(ports.udp), tcp: at(ports.tcp) },
    http: { listen: at(ports.http), unix: 'edge.sock' },
  }
  writeFileSync(join(folder, 'forebay.yaml'), JSON.stringify({ partitions: 1, grpc: { listen: at(ports.grpc) }, edge }))
  return { ...ports, args: ['--set', `grpc.listen=${at(ports.grpc)}`] }
}

function line(time = new Date().toISOString()): string {
  return `${JSON.stringify({ v: 1, kind: 'access', time, server: 'web-1', path: '/', query: '', status: 200 })}\n`
}

test('where all is well every road is tried to the topic and back; what is missing, lost or of another time is found', async () => {
  using folder = temporaryFolder()
  const { http, args } = await configured(folder.path)
  const accessLog = join(folder.path, 'access.log')
  writeFileSync(accessLog, line() + line())
  await using server = await up(folder.path, args)
  const well = await doctor(folder.path)
  assert.deepEqual(statesOf(well), [
    'log format ok',
    'collector http ok',
    'collector clock ok',
    'collector unix ok',
    'syslog tcp ok',
    'embedded log ok',
    'road udp ok',
    'road tcp ok',
    'road http ok',
    'road unix ok',
    'sequence ok',
    'nginx clock ok',
    'sequence ok',
  ])
  assert.deepEqual([well.code, well.ok], [0, true])
  assert.match(
    well.findings.find(({ check }) => check === 'road udp')!.saw,
    /stands on forebay\.edge\.access after \d+ ms/,
  )

  const send = async (first: number, body: string, more = {}) => {
    const headers = { 'forebay-source': 'lua/web-2', 'forebay-epoch': '7', 'forebay-first': String(first), ...more }
    const answered = await fetch(`http://127.0.0.1:${http}/v1/edge/logs`, { method: 'POST', body, headers })
    assert.equal(answered.status, 202)
  }
  await send(0, line())
  await send(1_000, line(new Date(Date.now() + 60_000).toISOString()), { 'forebay-dropped': '3' })
  appendFileSync(accessLog, '10.0.0.1 - - [21/Nov/2026:13:55:01 +0000] "GET / HTTP/1.1" 200 1\n')
  const ill = await doctor(folder.path, '--no-probe')
  assert.equal(ill.code, 1)
  const saw = (check: string, state: string) =>
    ill.findings.find((one) => one.check === check && one.state === state) ?? assert.fail(`no ${check} ${state}`)
  assert.match(
    saw('log format', 'fail').saw,
    /1 of the last 3 lines cannot be read as json \(not-json\), the first: 10\.0\.0\.1/,
  )
  assert.match(saw('sequence', 'fail').saw, new RegExp(`places ${line().length}–1000 are missing`))
  assert.equal(saw('sequence', 'fail').tried, 'lua/web-2@7')
  assert.match(saw('sequence', 'warn').saw, /^3 lines are lost, and told: sender/)
  assert.match(saw('nginx clock', 'fail').saw, /ahead of the collector's/)
  for (const { state, fix } of ill.findings) assert.equal(fix.length > 0, state === 'fail' || state === 'warn')
  server.child.kill('SIGTERM')
  await server.stopped
})

test('a collector that is stopped fails at each of its doors, with what to do; people read a line each', async () => {
  using folder = temporaryFolder()
  await configured(folder.path)
  writeFileSync(join(folder.path, 'edge.sock'), '')
  const { code, stdout, stderr } = await forebay(['doctor', 'edge'], { cwd: folder.path })
  assert.equal(code, 1)
  assert.match(stdout, /^FAIL {2}log format .*access\.log: cannot be read \(ENOENT/m)
  assert.match(stdout, /^FAIL {2}collector http .*no collector answers \(.*ECONNREFUSED/m)
  assert.match(stdout, /^FAIL {2}collector unix .*is a file, no socket/m)
  assert.match(stdout, /^FAIL {2}syslog tcp /m)
  assert.match(stdout, /^FAIL {2}embedded log /m)
  assert.match(stdout, /^skip {2}rows /m)
  assert.match(stdout, /fix {2}Start it: forebay up --roles collector/)
  assert.match(stderr, /^5 FAIL, 0 to look at\.$/m)
})

test('a socket that its collector left behind is told from one that somebody listens on', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'edge.sock')
  writeFileSync(join(folder.path, 'forebay.yaml'), 'edge: { http: { unix: edge.sock } }\n')
  // Whoever is killed does not remove it.
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  await once(spawn(process.execPath, ['-e', script]), 'close')
  const left = await doctor(folder.path)
  assert.match(left.findings[0]!.saw, /nobody listens behind it \(.*ECONNREFUSED.*\); mode 0\d{3}, user \d+, group \d+/)
  writeFileSync(join(folder.path, 'forebay.yaml'), 'http: { listen: "127.0.0.1:0" }\n')
  assert.deepEqual(statesOf(await doctor(folder.path)).slice(0, 1), ['configuration fail'])
})

test('a socket that the user may not use is said to be that, with its mode and owner', async (context) => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'edge.sock')
  writeFileSync(join(folder.path, 'forebay.yaml'), 'edge: { http: { unix: edge.sock } }\n')
  const listening = createServer().listen(path)
  await once(listening, 'listening')
  chmodSync(path, 0o600)
  chmodSync(folder.path, 0o755)
  // Root may use every socket: somebody else has to ask.
  const isRoot = process.getuid?.() === 0
  if (!isRoot) chmodSync(path, 0o000)
  const child = spawn(process.execPath, [MAIN, 'doctor', 'edge', '--json'], {
    ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    cwd: folder.path,
    env: { PATH: process.env.PATH ?? '' },
  })
  let stdout = ''
  child.stdout.on('data', (text) => (stdout += text))
  await once(child, 'close')
  listening.close()
  if (stdout === '') return context.skip('the checkout lies where only root may read')
  const [finding] = (JSON.parse(stdout) as Told).findings
  assert.equal(finding!.state, 'fail')
  assert.match(finding!.saw, /^this user may not use it \(mode 0[06]00, user \d+, group \d+\)$/)
})

const NOBODY = 65_534

test('something else on the port is not taken for a collector', async () => {
  using folder = temporaryFolder()
  const other = createServer((socket) => socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n'))
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  writeFileSync(join(folder.path, 'forebay.yaml'), `edge: { http: { listen: "127.0.0.1:${port}" } }\n`)
  const told = await doctor(folder.path)
  assert.match(told.findings[0]!.saw, /something else answers there \(status 404\)/)
  other.close()
})
