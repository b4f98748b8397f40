import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { HEARTBEAT_MS } from '../../server/src/accept/grpc-watch.ts'
import { KEEP_ALIVE_TIMEOUT_MS } from '../../server/src/accept/http-server.ts'
import { SSE_HEARTBEAT_MS } from '../../server/src/accept/sse-stream.ts'
import { KEEP_IDLE_MS, SSE_SILENCE_MS, WATCH_SILENCE_MS } from '../src/nginx/plan.ts'
import { forebay, temporaryFolder } from './run-forebay.ts'

const GATEWAYS = ['--gateway', '10.0.0.1:8080/8081', '--gateway', '[::1]:8080/8081']

test('what the gateways are configured for is what nginx waits for and lets through', async () => {
  using folder = temporaryFolder()
  const queues = { large: { bodyMax: '3MiB' } }
  const given = {
    http: { bodyMax: '3MiB', waitMax: '90s', listen: '0.0.0.0:7000' },
    grpc: { listen: '[::]:7001' },
    queues,
  }
  writeFileSync(join(folder.path, 'forebay.yaml'), JSON.stringify(given))
  const { code, stdout, stderr } = await forebay(['nginx'], { cwd: folder.path })
  assert.equal(code, 0, stderr)
  assert.match(stdout, /proxy_read_timeout 105s;/)
  assert.match(stdout, /client_max_body_size 3145728;/)
  assert.match(stdout, /server 127\.0\.0\.1:7000 max_fails/)
  assert.match(stdout, /server \[::1\]:7001 max_fails/)
  assert.match(stdout, /listen 80;/)
})

test('every directive says why it is there', async () => {
  const { stdout } = await forebay(['nginx', ...GATEWAYS, '--rate', '10r/s', '--connections', '5'])
  const lines = stdout.split('\n')
  const unsaid = lines.filter((line, index) => {
    if (line.trim() === '' || /^\s*(#|\})/.test(line) || line.includes('# ')) return false
    return !/^\s*# /.test(lines[index - 1] ?? '')
  })
  assert.deepEqual(unsaid, [])
  assert.ok(lines.length > 150)
})

test('without a gRPC port at each gateway there is no gRPC door', async () => {
  const { stdout } = await forebay(['nginx', '--gateway', '10.0.0.1:8080', '--gateway', '10.0.0.2:8080/8081'])
  assert.doesNotMatch(stdout, /grpc_pass/)
})

test('gateways that share no store make no use of keys, and the command says so', async () => {
  const embedded = await forebay(['nginx', ...GATEWAYS])
  assert.doesNotMatch(embedded.stdout, /" @forebay_keyed/)
  assert.match(embedded.stderr, /holds at one of them only/)
  const shared = await forebay(['nginx', ...GATEWAYS, '--set', 'store=postgres://a@b/c'])
  assert.match(shared.stdout, /" @forebay_keyed/)
  assert.equal(shared.stderr, '')
  const one = await forebay(['nginx'])
  assert.match(one.stdout, /" @forebay_keyed/)
})

const WRONG: readonly (readonly [flags: readonly string[], says: RegExp])[] = [
  [['--gateway', 'here'], /--gateway here is no gateway/],
  [['--gateway', '10.0.0.1:8080/0'], /is no gateway/],
  [['--gateway', '10.0.0.1:8080/1/2'], /is no gateway/],
  [['--gateway', '10.0.0.1;return 200:80'], /is no gateway/],
  [['--listen', '70000'], /--listen 70000 is no address/],
  [['--listen', '80; return 200'], /is no address/],
  [['--rate', '0'], /--rate 0 is no rate/],
  [['--connections', 'many'], /--connections many is no count/],
  [['--server-name', 'a;b'], /--server-name a;b is no host name/],
  [['--access-log', '/tmp/$uri'], /cannot be written/],
  [['--syslog', '127.0.0.1'], /--syslog 127.0.0.1 is no address/],
  [['--syslog', '127.0.0.1:1,tag=x'], /is no address/],
  [['--tls-cert', 'a.pem'], /--tls-cert and --tls-key/],
  [['--tls-cert', 'a".pem', '--tls-key', 'k'], /cannot be written/],
  [['--set', 'http.listen=127.0.0.1:0'], /pick its port/],
  [['--produce', 'orders'], /--produce needs --lua/],
  [['--lua', 'here'], /--lua here is no absolute path/],
]

for (const [flags, says] of WRONG) {
  test(`${flags.join(' ')} is refused`, async () => {
    const { code, stdout, stderr } = await forebay(['nginx', ...flags])
    assert.equal(code, 2)
    assert.match(stderr, says)
    assert.equal(stdout, '')
  })
}

test('--lua writes the Lua beside what it prints, for the collector of the configuration', async () => {
  using folder = temporaryFolder()
  const given = { edge: { http: { listen: '0.0.0.0:5600' } } }
  writeFileSync(join(folder.path, 'forebay.yaml'), JSON.stringify(given))
  const lua = join(folder.path, 'lua')
  const { stdout, stderr } = await forebay(['nginx', '--lua', lua, '--produce', 'orders'], { cwd: folder.path })
  assert.match(stdout, /collector = "127\.0\.0\.1:5600"/)
  assert.ok(stdout.includes(`package.path = "${lua}/?.lua;"`))
  assert.match(stderr, /The Lua files are in/)
  for (const name of ['ring', 'row', 'json', 'http', 'message', 'produce', 'kafka']) {
    assert.ok(existsSync(join(lua, 'forebay', `${name}.lua`)), name)
  }
})

test('nginx is more patient than the heartbeats, and lets go of a connection before a gateway does', () => {
  assert.ok(SSE_SILENCE_MS >= 3 * SSE_HEARTBEAT_MS)
  assert.ok(WATCH_SILENCE_MS >= 3 * HEARTBEAT_MS)
  assert.ok(KEEP_IDLE_MS < KEEP_ALIVE_TIMEOUT_MS)
})
