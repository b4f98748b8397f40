import { glob } from 'node:fs/promises'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { isDebianRoot, requireCommand } from './rig/debian.ts'
import { type Kafka, startKafka } from './rig/kafka.ts'

/**
 * Runs every test file against real servers, the quick ones first: what needs no server, then the servers of stores, then
 * what needs a Kafka, then whole roads. Ends with one line, "N passed, N failed", and exit code 1 if something failed.
 */

interface Stage {
  readonly name: string
  readonly files: readonly string[]
  /** Files at once. Crashes and broker restarts want the machine for themselves. */
  readonly concurrency: number
}

interface Count {
  passed: number
  failed: number
  readonly failedFiles: Set<string>
}

/** Of one test; those that kill brokers under load take minutes. */
const TEST_TIMEOUT_MS = 600_000

/** A command, or a file. */
type DebianPackage = readonly [command: string, debianPackage: string]

/** What the tests drive beside our own code. */
const STORE_PACKAGES: readonly DebianPackage[] = [
  ['pg_ctlcluster', 'postgresql'],
  ['pgbouncer', 'pgbouncer'],
  ['redis-server', 'redis-server'],
]
const ROAD_PACKAGES: readonly DebianPackage[] = [
  ['java', 'default-jre-headless'],
  ['mvn', 'maven'],
  ['kcat', 'kcat'],
  ['nginx', 'nginx-light'],
  ['/usr/lib/nginx/modules/ngx_http_lua_module.so', 'libnginx-mod-http-lua'],
  ['/usr/share/lua/5.1/nginx/kafka/producer.lua', 'lua-nginx-kafka'],
  ['h2load', 'nghttp2-client'],
  ['etcd', 'etcd-server'],
  ['python3', 'python3-venv'],
  ['go', 'golang-go'],
  ['chromium', 'chromium'],
]

const only = process.argv.slice(2)
const files = await testFiles(only)
const needsKafka = (file: string) => file.includes('kafka')
const needsStore = (file: string) => /postgres|redis|cli\/test\/store\./.test(file)
const isRoad = (file: string) => /^(e2e|examples)\//.test(file)
const stageOf = (file: string) => {
  if (isRoad(file)) return 'roads'
  if (needsKafka(file)) return 'kafka'
  return needsStore(file) ? 'stores' : 'fast'
}
const stages: readonly Stage[] = ['fast', 'stores', 'kafka', 'roads'].map((name) => {
  const concurrency = name === 'fast' || name === 'stores' ? 2 : 1
  return { name, files: files.filter((file) => stageOf(file) === name), concurrency }
})
const count: Count = { passed: 0, failed: 0, failedFiles: new Set() }
if (files.length === 0) {
  console.error(`No test file's path holds ${only.join(' or ')}.`)
  process.exit(2)
}

let kafka: Kafka | null = null
const stopped = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.abort())
try {
  for (const stage of stages) {
    if (stage.files.length === 0 || stopped.signal.aborted) continue
    if (stage.name !== 'fast') await installPackages(STORE_PACKAGES)
    if (stage.name === 'kafka' || stage.name === 'roads') {
      await installPackages(ROAD_PACKAGES)
      kafka ??= await startSharedKafka()
    }
    console.log(`\n── ${stage.name}: ${stage.files.length} files`)
    await runStage(stage, count)
  }
} catch (error) {
  count.failed++
  count.failedFiles.add('scripts/test.ts')
  console.error(error instanceof Error ? error.message : error)
} finally {
  await kafka?.stop()
}
if (count.failedFiles.size > 0) console.log(`\nFailed in:\n  ${[...count.failedFiles].join('\n  ')}`)
console.log(`\n${count.passed} passed, ${count.failed} failed`)
process.exit(count.failed > 0 || count.passed === 0 || stopped.signal.aborted ? 1 : 0)

async function testFiles(names: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for await (const file of glob('{packages/*/test,scripts/test,history/test,sim/test,e2e,examples}/**/*.test.ts')) {
    if (file.includes('node_modules')) continue
    if (names.length === 0 || names.some((name) => file.includes(name))) found.push(file)
  }
  return found.sort()
}

/** Where we may; throws the line to type otherwise. */
async function installPackages(packages: readonly DebianPackage[]): Promise<void> {
  const missing: string[] = []
  for (const [command, debianPackage] of packages) {
    await requireCommand(command, debianPackage).catch(() => missing.push(debianPackage))
  }
  if (missing.length === 0) return
  const why = isDebianRoot() ? 'could not be installed' : 'are missing, and only root may install them'
  throw new Error(`Programs that tests need ${why}. Try: apt-get install -y ${missing.join(' ')}`)
}

/** For every test that can share one. */
async function startSharedKafka(): Promise<Kafka | null> {
  if (process.env.FOREBAY_TEST_KAFKA) return null
  console.log('\nStarting Kafka…')
  const started = await startKafka()
  process.env.FOREBAY_TEST_KAFKA = started.bootstrap
  return started
}

async function runStage({ files, concurrency }: Stage, total: Count): Promise<void> {
  const stream = run({
    files: [...files],
    concurrency,
    isolation: 'process',
    timeout: TEST_TIMEOUT_MS,
    signal: stopped.signal,
  })
  // Two events say the same of a file that failed: one of its test, one of the file itself. Summaries count once.
  stream.on('test:fail', ({ file }) => {
    if (file !== undefined) total.failedFiles.add(file.replace(`${process.cwd()}/`, ''))
  })
  stream.on('test:summary', ({ file, counts }) => {
    if (file !== undefined) return
    total.passed += counts.passed
    total.failed += counts.tests - counts.passed - counts.skipped - counts.todo
  })
  for await (const chunk of stream.compose(spec)) process.stdout.write(chunk)
}
