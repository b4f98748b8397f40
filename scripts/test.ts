import { glob } from 'node:fs/promises'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { type DebianPackage, requireCommands } from './rig/debian.ts'
import { installKafka } from './rig/install-kafka.ts'
import { type Kafka, startKafka } from './rig/kafka.ts'
import { installMoto } from './rig/moto.ts'

/**
 * Runs every test file against real servers, the quick ones first: what needs no server, then the servers of stores, then
 * Kafka and whole roads. Ends with one line, "N passed, N failed", and exit code 1 if something failed.
 */

interface Stage {
  readonly name: StageName
  readonly files: readonly string[]
  /** Fetches what its tests drive beside our own code. */
  prepare(): Promise<unknown>
}

type StageName = 'fast' | 'stores' | 'servers'

interface Count {
  passed: number
  failed: number
  readonly failedFiles: Set<string>
}

/** On two cores: most tests wait for others more than they compute. */
const FILES_AT_ONCE = 3
/** Of one test; those that kill brokers under load take minutes. */
const TEST_TIMEOUT_MS = 600_000

const STORE_PACKAGES: readonly DebianPackage[] = [
  ['pg_ctlcluster', 'postgresql'],
  ['pgbouncer', 'pgbouncer'],
  ['redis-server', 'redis-server'],
  ['etcd', 'etcd-server'],
  ['python3', 'python3-venv'],
]
const SERVER_PACKAGES: readonly DebianPackage[] = [
  ['java', 'default-jre-headless'],
  ['mvn', 'maven'],
  ['kcat', 'kcat'],
  ['nginx', 'nginx-light'],
  ['/usr/lib/nginx/modules/ngx_http_lua_module.so', 'libnginx-mod-http-lua'],
  ['/usr/share/lua/5.1/nginx/kafka/producer.lua', 'lua-nginx-kafka'],
  ['h2load', 'nghttp2-client'],
  ['go', 'golang-go'],
  ['chromium', 'chromium'],
]

const nothing = async () => {}
const prepareStores = async () => {
  await requireCommands(STORE_PACKAGES)
  await installMoto()
}
const prepareServers = async () => {
  await requireCommands([...STORE_PACKAGES, ...SERVER_PACKAGES])
  await installKafka()
}

const only = process.argv.slice(2)
const files = await testFiles(only)
const stages: readonly Stage[] = [
  stage('fast', nothing),
  stage('stores', prepareStores),
  stage('servers', prepareServers),
].filter((one) => one.files.length > 0)
const count: Count = { passed: 0, failed: 0, failedFiles: new Set() }
if (files.length === 0) {
  console.error(`No test file's path holds ${only.join(' or ')}.`)
  process.exit(2)
}

// Brokers of tests live a minute: compiled well by the Java machine they would cost twice the time of the processor.
process.env.JDK_JAVA_OPTIONS ??= '-XX:TieredStopAtLevel=1'
const prepared = prepareInTurn()
let kafka: Kafka | null = null
const stopped = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.abort())
try {
  for (const one of stages) {
    if (stopped.signal.aborted) continue
    await prepared.get(one.name)
    if (one.name === 'servers') kafka = await startSharedKafka()
    console.log(`\n── ${one.name}: ${one.files.length} files`)
    await runStage(one, count)
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

function stage(name: StageName, prepare: Stage['prepare']): Stage {
  const mine = files.filter((file) => stageOf(file) === name)
  // The longest are those of Kafka, and what begins last should be short.
  return { name, prepare, files: [...mine.filter(needsKafka), ...mine.filter((file) => !needsKafka(file))] }
}

function stageOf(file: string): StageName {
  if (/^(e2e|examples)\//.test(file) || needsKafka(file)) return 'servers'
  return /postgres|redis|etcd|blobs-s3|cli\/test\/store\./.test(file) ? 'stores' : 'fast'
}

function needsKafka(file: string): boolean {
  return file.includes('kafka')
}

/** While earlier stages run, what later ones need is fetched: on a new machine that takes minutes. */
function prepareInTurn(): ReadonlyMap<StageName, Promise<unknown>> {
  let last: Promise<unknown> = Promise.resolve()
  return new Map(
    stages.map(({ name, prepare }) => {
      last = last.then(prepare)
      // Whoever waits for it hears of it.
      last.catch(() => {})
      return [name, last]
    }),
  )
}

async function testFiles(names: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for await (const file of glob('{packages/*/test,scripts/test,history/test,sim/test,e2e,examples}/**/*.test.ts')) {
    if (file.includes('node_modules')) continue
    if (names.length === 0 || names.some((name) => file.includes(name))) found.push(file)
  }
  return found.sort()
}

/** For every test that can share one. */
async function startSharedKafka(): Promise<Kafka | null> {
  if (process.env.FOREBAY_TEST_KAFKA) return null
  console.log('\nStarting Kafka…')
  const started = await startKafka()
  process.env.FOREBAY_TEST_KAFKA = started.bootstrap
  return started
}

async function runStage({ files }: Stage, total: Count): Promise<void> {
  const stream = run({
    files: [...files],
    concurrency: FILES_AT_ONCE,
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
