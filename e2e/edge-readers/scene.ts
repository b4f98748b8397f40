import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { accessLine } from '../../packages/edge/test/edge-rig.ts'
import { useKafka } from '../../scripts/rig/kafka.ts'
import { freePort } from '../../scripts/rig/process.ts'
import { startCollectorProcess } from '../edge/collector-process.ts'

/** A topic that a real collector fills, killed in between, and what was sent to it. */
export interface ReadersScene extends AsyncDisposable {
  readonly bootstrap: string
  readonly topic: string
  readonly dir: string
  /**
   * Further requests by file, with a kill of the collector; lines that cannot be read and a loss, sent twice over HTTP, and a
   * third time by the next call.
   */
  publish(requests: number): Promise<void>
  /** What a collector of another version writes, and what no collector wrote. */
  publishStrange(): Promise<void>
  /** How many records the topic has, by kcat. */
  records(): Promise<number>
  readonly sent: Sent
}

/** What a reader has to find, each once. */
export interface Sent {
  readonly requests: readonly { readonly status: number; readonly seconds: number }[]
  readonly undecodable: number
  /** Rows, and lines they tell of. */
  readonly dropped: { readonly rows: number; readonly lines: number }
  /** Records that are no row of a collector, or are of a kind that nobody knows yet. */
  readonly strange: { readonly unknownKind: number; readonly foreign: number }
  /** Records that certainly come twice. */
  readonly repeats: number
}

export async function startReadersScene(): Promise<ReadersScene> {
  await using started = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'forebay-readers-'))
  started.defer(() => rmSync(dir, { recursive: true, force: true }))
  const { bootstrap } = started.use(await useKafka())
  const topic = `readers-${randomUUID()}`
  const file = join(dir, 'access.log')
  const port = await freePort()
  appendFileSync(file, '')
  const collector = started.use(
    await startCollectorProcess({
      ...{ broker: `kafka://${bootstrap}`, partitions: 3, instance: 'edge-1' },
      edge: { name: 'web-1', topic, files: [{ path: file }], http: { listen: `127.0.0.1:${port}` } },
    }),
  )
  const requests: { status: number; seconds: number }[] = []
  const sent = { undecodable: 0, repeats: 0, dropped: { rows: 0, lines: 0 }, strange: { unknownKind: 0, foreign: 0 } }
  const make = (serial: number) => {
    const one = { status: STATUSES[serial % STATUSES.length]!, seconds: ((serial * 7_919) % 10_007) / 1_000 }
    requests.push(one)
    // One of ten has members that no version of ours knows, and tags of every shape.
    return serial % 10 === 0 ? accessLine({ ...one, ...UNKNOWN }) : accessLine(one)
  }
  const publish = async (count: number) => {
    const lines = Array.from({ length: count }, () => `${make(requests.length)}\n`)
    const slice = Math.ceil(count / SLICES)
    let killing: Promise<void> | null = null
    for (let at = 0; at < count; at += slice) {
      appendFileSync(file, lines.slice(at, at + slice).join(''))
      // In the flow: what is in the log by then, and not yet in the saved position, comes again.
      if (at >= count / 2) killing ??= collector.killAndStart()
      await sleep(BETWEEN_SLICES_MS)
    }
    await killing
    await collector.untilThrough(THROUGH_WITHIN_MS)
  }
  const post = async ({ lines, epoch }: Batch) => {
    const lost = { 'forebay-first': '0', 'forebay-dropped': '3', 'forebay-dropped-at': '1763733301123' }
    const headers = { 'forebay-source': 'shop/lua', 'forebay-epoch': epoch, ...lost }
    const answered = await fetch(`http://127.0.0.1:${port}/v1/edge/logs`, { method: 'POST', body: lines, headers })
    if (answered.status !== 202) throw new Error(`the collector says ${answered.status}: ${await answered.text()}`)
    await answered.arrayBuffer()
  }
  let before: Batch | null = null
  const postTwice = async () => {
    const ugly = ['not json at all', '[1]', '{"status":', `{"secret":"${'x'.repeat(300)}`]
    const lines = [make(requests.length), ...ugly, make(requests.length)].map((line) => `${line}\n`).join('')
    const batch = { lines, epoch: randomUUID() }
    const again = before === null ? [batch] : [batch, before]
    for (const one of [batch, ...again]) await post(one)
    before = batch
    sent.undecodable += ugly.length
    sent.dropped.rows++
    sent.dropped.lines += 3
    sent.repeats += again.length * (ugly.length + 3)
  }
  const keep = started.move()
  return {
    bootstrap,
    topic,
    dir,
    async publish(count) {
      await postTwice()
      await publish(count)
    },
    async publishStrange() {
      const place = (sequence: string) => ({ 'fb-source': 'web-9@later', 'fb-sequence': sequence })
      const time = '2026-11-21T13:55:01.123Z'
      const loss = { v: 1, kind: 'dropped', time, reason: 'quota', source: 'web-9', epoch: 'later', first: 0, end: 0 }
      const ugly = { v: 1, kind: 'undecodable', time, reason: 'not-json', bytes: 'aGE=', continues: false }
      const produce = (headers: Readonly<Record<string, string>>, value: unknown) =>
        kcatProduce({ bootstrap, topic, headers }, typeof value === 'string' ? value : JSON.stringify(value))
      // Two losses at one place, and a line there as well: three rows.
      await produce(place('0-0'), { ...loss, lines: 5, from: time, until: time })
      await produce(place('0-0'), { ...loss, lines: 6, from: time, until: time, ...UNKNOWN })
      await produce(place('0-9'), { ...ugly, redacted: true, ...UNKNOWN })
      await produce(place('9-12'), { v: 1, kind: 'weather', time, wind: { from: 'NW', knots: 12 } })
      await produce({}, 'hello')
      sent.dropped.rows += 2
      sent.dropped.lines += 11
      sent.undecodable++
      sent.strange.unknownKind++
      sent.strange.foreign++
    },
    records: () => kcatCount(bootstrap, topic),
    get sent() {
      return { requests, ...sent }
    },
    [Symbol.asyncDispose]: () => keep.disposeAsync(),
  }
}

interface Batch {
  readonly lines: string
  readonly epoch: string
}

const SLICES = 40
const BETWEEN_SLICES_MS = 25
const STATUSES = [200, 200, 200, 202, 404, 503]
const UNKNOWN = { weather: { wind: [1, 'NW', null] }, tags: { tenant: 'a"b', nested: { list: [1, {}] } } }
const THROUGH_WITHIN_MS = 60_000

interface Target {
  readonly bootstrap: string
  readonly topic: string
  readonly headers: Readonly<Record<string, string>>
}

async function kcatProduce({ bootstrap, topic, headers }: Target, value: string): Promise<void> {
  const flags = Object.entries(headers).flatMap(([name, text]) => ['-H', `${name}=${text}`])
  const kcat = spawn('kcat', ['-P', '-b', bootstrap, '-t', topic, '-k', 'web-9', ...flags], {
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  kcat.stdin.end(value)
  const [code] = await once(kcat, 'exit')
  if (code !== 0) throw new Error(`kcat could not produce (exit ${code})`)
}

async function kcatCount(bootstrap: string, topic: string): Promise<number> {
  const kcat = spawn('kcat', ['-C', '-e', '-q', '-o', 'beginning', '-b', bootstrap, '-t', topic, '-f', '.'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let count = 0
  for await (const chunk of kcat.stdout) count += (chunk as Buffer).length
  return count
}
