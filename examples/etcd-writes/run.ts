import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parse } from 'yaml'
import { startForebay } from '../../e2e/forebay.ts'
import { requireCommand } from '../../scripts/rig/debian.ts'
import { startEtcd } from '../../scripts/rig/etcd.ts'
import { startKafka } from '../../scripts/rig/kafka.ts'
import { startNginx } from '../../scripts/rig/nginx.ts'
import { ask, collect } from './caller.ts'
import { buildDescriptors, servesReflection } from './etcd-descriptors.ts'
import { readPackageIndex } from './package-index.ts'
import { type EtcdRange, fromBase64, readEtcd, toBase64 } from './read-etcd.ts'

/**
 * nginx → two gateways → Kafka → dispatchers → etcd's own KV/Put and KV/Range, with Debian's package index as input.
 * At the end every record is compared, as Forebay reads it and as etcd itself tells it.
 */

const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '5000' },
    concurrency: { type: 'string', default: '64' },
  },
})
const records = positive('records', values.records)
const concurrency = positive('concurrency', values.concurrency)
/** Of so many requests one doesn't wait for its answer, and asks for it later. */
const POLLED_LATER_EVERY = 3
const WAIT_SECONDS = 30
const FAILURES_SHOWN = 20

const tally = { passed: 0, failed: 0, retries: 0 }
const onRetry = () => void tally.retries++

const { source, descriptions } = await readPackageIndex(records)
console.log(`input      ${descriptions.size} packages with their descriptions, from ${source}`)
if (descriptions.size < records) console.log(`           fewer than the ${records} asked for: this machine has no more`)

await requireCommand('etcd', 'etcd-server')
await requireCommand('nginx', 'nginx')
await using stack = new AsyncDisposableStack()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void stack.disposeAsync().finally(() => process.exit(1)))
}
const dir = await mkdtemp(join(tmpdir(), 'forebay-etcd-writes-'))
stack.defer(() => rm(dir, { recursive: true, force: true }))

const [kafka, etcd] = await Promise.all([startKafka(), startEtcd()])
stack.use(kafka)
stack.use(etcd)
console.log(`kafka      ${kafka.bootstrap}`)
console.log(`etcd       ${etcd.address}, version ${etcd.version}`)

const descriptors = join(dir, 'etcd.binpb')
if (await servesReflection(etcd.address)) {
  console.log('           this etcd serves reflection; the file is built all the same')
} else {
  console.log('           etcd serves no reflection (UNIMPLEMENTED): compiled from its own rpc.proto')
}
await buildDescriptors(descriptors)

const config = await localConfig(kafka.bootstrap, etcd.address, descriptors)
const gateways = await Promise.all([startForebay({ config }), startForebay({ config })])
for (const gateway of gateways) {
  stack.use(gateway)
  console.log(`gateway    ${gateway.url} (pid ${gateway.rig.pid}; gateway, dispatcher, recorder)`)
}
const nginx = stack.use(await startNginx(gateways.map((gateway) => new URL(gateway.url).host)))
console.log(`nginx      ${nginx.url} in front of both\n`)

await writeAll()
await readBack()
await compareWithEtcd()
console.log(`\n${tally.passed} passed, ${tally.failed} failed`)
if (tally.failed > 0) process.exitCode = 1

/** Every third request is accepted only and its answer collected after all were handed in; the others wait for theirs. */
async function writeAll(): Promise<void> {
  const revisions = new Set<string>()
  const later: { name: string; location: string }[] = []
  let waited = 0
  const startedAt = performance.now()
  await eachOf([...descriptions].entries(), async ([index, [name, description]]) => {
    const waitSeconds = index % POLLED_LATER_EVERY === 0 ? 0 : WAIT_SECONDS
    const answer = await ask(
      {
        url: `${nginx.url}/packages/${encodeURIComponent(name)}`,
        body: { key: toBase64(name), value: toBase64(description) },
        idempotencyKey: `put-${name}`,
        waitSeconds,
      },
      onRetry,
    )
    if (answer.kind === 'answered') {
      waited++
      noteRevision(revisions, name, answer.body)
    } else if (answer.kind === 'accepted') later.push({ name, location: answer.location })
    else fail(`write of ${name}: ${answer.status} ${answer.problem}`)
  })
  const handedInMs = performance.now() - startedAt
  await eachOf(later, async ({ name, location }) => {
    const answer = await collect(location, onRetry)
    if (answer.kind === 'answered') noteRevision(revisions, name, answer.body)
    else fail(`answer of ${name}: ${JSON.stringify(answer)}`)
  })
  const allMs = performance.now() - startedAt
  console.log(
    `writes     ${descriptions.size} handed in within ${seconds(handedInMs)}, all answered within ${seconds(allMs)}` +
      ` (${rate(descriptions.size, allMs)}; ${waited} waited for, ${later.length} collected later, ${tally.retries} retries)`,
  )
}

/** A PutResponse tells at which revision of etcd it happened; no two writes share one. */
function noteRevision(revisions: Set<string>, name: string, body: unknown): void {
  const revision = (body as { header?: { revision?: string } }).header?.revision
  if (revision === undefined) fail(`answer of ${name} is no PutResponse: ${JSON.stringify(body)}`)
  else if (revisions.has(revision)) fail(`answer of ${name}: revision ${revision} was another write's`)
  else {
    revisions.add(revision)
    tally.passed++
  }
}

async function readBack(): Promise<void> {
  const startedAt = performance.now()
  let equal = 0
  await eachOf(descriptions, async ([name, description]) => {
    const answer = await ask(
      {
        url: `${nginx.url}/lookups/${encodeURIComponent(name)}`,
        body: { key: toBase64(name) },
        idempotencyKey: `range-${name}`,
        waitSeconds: WAIT_SECONDS,
      },
      onRetry,
    )
    const end = answer.kind === 'accepted' ? await collect(answer.location, onRetry) : answer
    const kvs = end.kind === 'answered' ? ((end.body as EtcdRange).kvs ?? []) : []
    const [kv] = kvs
    if (kvs.length !== 1 || fromBase64(kv!.key) !== name || fromBase64(kv!.value ?? '') !== description) {
      return fail(`read of ${name} through Forebay: ${JSON.stringify(end)}`)
    }
    equal++
    tally.passed++
  })
  const tookMs = performance.now() - startedAt
  console.log(`reads      ${equal} of ${descriptions.size} equal, through Forebay (${rate(descriptions.size, tookMs)})`)
}

async function compareWithEtcd(): Promise<void> {
  const found = await readEtcd(etcd.address)
  let equal = 0
  for (const [name, description] of descriptions) {
    if (found.get(name) !== description) {
      fail(`etcd holds ${JSON.stringify(found.get(name))} for ${name}`)
      continue
    }
    equal++
    tally.passed++
  }
  for (const name of found.keys()) if (!descriptions.has(name)) fail(`etcd holds ${name}, which nobody wrote`)
  console.log(`etcd       ${equal} of ${descriptions.size} equal, ${found.size} keys in all, asked of etcd itself`)
}

/** forebay.yaml beside this file, with the addresses of this run. */
async function localConfig(bootstrap: string, etcdAddress: string, descriptorFile: string) {
  const text = await readFile(new URL('forebay.yaml', import.meta.url), 'utf8')
  const local = text
    .replaceAll('127.0.0.1:9092', bootstrap)
    .replaceAll('127.0.0.1:2379', etcdAddress)
    .replaceAll('./etcd.binpb', descriptorFile)
  return parse(local) as Record<string, unknown>
}

/** Runs `act` on each item, `concurrency` at a time. */
async function eachOf<Item>(items: Iterable<Item>, act: (item: Item) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]()
  const lane = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await act(next.value)
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
}

function fail(what: string): void {
  tally.failed++
  if (tally.failed <= FAILURES_SHOWN) console.log(`FAILED     ${what}`)
}

function positive(name: string, given: string): number {
  const number = Number(given)
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`--${name} ${given}: write a number from 1 on`)
  return number
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function rate(count: number, ms: number): string {
  return `${Math.round(count / (ms / 1000))}/s`
}
