import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startKafka } from '../../scripts/rig/kafka.ts'
import { type GeneratedNginx, printedConfiguration, startGeneratedNginx, testNginx } from '../../scripts/rig/nginx.ts'
import { freePort } from '../../scripts/rig/process.ts'

/** With Debian's lua-nginx-kafka, which is lua-resty-kafka 0.07. */
const GATEWAY = { http: '127.0.0.1:9', grpc: '127.0.0.1:9' }
const TOPIC = 'orders'
const DIRECT = ['--no-lua-log', '--produce', TOPIC, '--direct-kafka']
const LUA = { lua: true, workers: 1 }
const IS_LONG = process.env.E2E_LONG === '1'

function start(broker: string): Promise<GeneratedNginx> {
  return startGeneratedNginx([GATEWAY], { lua: true, flags: [...DIRECT, broker] })
}

test('nginx -t takes the configuration where lua-resty-kafka is, and where it is not nginx does not start and says what to install', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-direct-'))
  try {
    const own = ['--listen', '8080', '--grpc-listen', '8081', '--access-log', join(dir, 'access.log'), '--lua', dir]
    const printed = await printedConfiguration([GATEWAY], [...own, ...DIRECT, '127.0.0.1:9092'])
    assert.match(await testNginx(printed, LUA), /test is successful/)
    for (const name of ['resty', 'ngx']) symlinkSync(`/usr/share/lua/5.1/${name}`, join(dir, name))
    const more = `lua_package_path "${dir}/?.lua";`
    const without = startGeneratedNginx([GATEWAY], { lua: true, flags: [...DIRECT, '127.0.0.1:9092'], more })
    await assert.rejects(without, /lua-resty-kafka is not there. Try: opm get doujiang24/)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

test('while nobody knows where Kafka is, messages are refused, and so is what cannot go along', async () => {
  await using nginx = await start(`127.0.0.1:${await freePort()}`)
  assert.deepEqual(await post(nginx, 'x'), { status: 503, outcome: 'refused' })
  assert.equal((await post(nginx, 'x', { 'ce-id': '1' })).status, 400)
  assert.equal((await post(nginx, 'x'.repeat(65_537))).status, 413)
  assert.deepEqual(await counters(nginx), { buffered: 0, refused: 1, dropped: 0 })
})

test('Kafka 3.9: messages arrive; an outage of 10 s costs none, one of 40 s what is counted', {
  skip: !IS_LONG,
}, async () => {
  await using kafka = await startKafka({ version: '3.9.1', extra: { 'auto.create.topics.enable': 'true' } })
  await using nginx = await start(kafka.bootstrap)
  await refusedUntilThere(nginx)
  let [taken, refused] = [1, 0]
  const load = async (seconds: number) => {
    const until = performance.now() + seconds * 1_000
    while (performance.now() < until) {
      const { outcome } = await post(nginx, String(taken))
      if (outcome === 'buffered') taken++
      else refused++
      await sleep(20)
    }
  }
  await load(2)
  assert.equal((await settled(kafka.bootstrap, nginx, taken)).dropped, 0)
  await kafka.kill()
  await load(10)
  await kafka.restart()
  assert.equal((await settled(kafka.bootstrap, nginx, taken)).dropped, 0)
  assert.equal(refused, 0)
  await kafka.kill()
  await load(40)
  await kafka.restart()
  const { found, dropped, twice } = await settled(kafka.bootstrap, nginx, taken)
  console.log(
    `of ${taken} messages ${found} arrived, ${twice} came twice, ${dropped} are counted as lost; ${refused} refused`,
  )
  assert.ok(dropped > 0 && refused > 0)
  assert.equal(found + dropped, taken)
  while ((await post(nginx, 'again')).outcome !== 'buffered') await sleep(100)
})

test('Kafka 4 understands nothing of the library: one message a second is tried and counted as lost', {
  skip: !IS_LONG,
}, async () => {
  await using kafka = await startKafka({ extra: { 'auto.create.topics.enable': 'true' } })
  await using nginx = await start(kafka.bootstrap)
  await promisify(execFile)('sh', ['-c', 'echo 0 | kcat -P -b "$1" -t orders', 'sh', kafka.bootstrap])
  const until = performance.now() + 5_000
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (performance.now() < until) await post(nginx, 'x')
    }),
  )
  const { buffered, refused } = await counters(nginx)
  assert.ok(buffered! <= 8 && refused! > buffered!, `${buffered} buffered, ${refused} refused`)
  while ((await counters(nginx)).dropped !== buffered) await sleep(200)
})

/** The topic is made as it is first asked for. */
async function refusedUntilThere(nginx: GeneratedNginx): Promise<void> {
  while ((await post(nginx, '0')).status !== 202) await sleep(100)
}

interface Settled {
  readonly found: number
  readonly dropped: number
  readonly twice: number
}

/** Once every message has arrived or is counted. */
async function settled(bootstrap: string, nginx: GeneratedNginx, sent: number): Promise<Settled> {
  for (;;) {
    await sleep(500)
    const args = ['-C', '-b', bootstrap, '-t', TOPIC, '-e', '-q', '-f', '%s\\n']
    const { stdout } = await promisify(execFile)('kcat', args, { maxBuffer: 64 * 1024 * 1024 })
    const values = stdout.trim().split('\n')
    const found = new Set(values).size
    const dropped = (await counters(nginx)).dropped!
    if (found + dropped >= sent) return { found, dropped, twice: values.length - found }
  }
}

async function post(nginx: GeneratedNginx, body: string, headers: Record<string, string> = {}) {
  const answered = await fetch(`${nginx.url}/produce/${TOPIC}`, { method: 'POST', body, headers })
  const { outcome } = (await answered.json()) as { outcome?: string }
  return { status: answered.status, outcome }
}

async function counters(nginx: GeneratedNginx): Promise<Record<string, number>> {
  const text = await (await fetch(`${nginx.url}/.forebay/kafka`)).text()
  return Object.fromEntries(
    [...text.matchAll(/^forebay_nginx_kafka_(\w+)_total (\d+)/gm)].map(([, name, count]) => [name, Number(count)]),
  )
}
