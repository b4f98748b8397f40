import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Broker } from '@forebay/broker'
import { type DroppedRow, EDGE_TOPIC } from '@forebay/edge'
import { createRedaction } from '../src/decode/redaction.ts'
import { Intake } from '../src/intake.ts'
import { Spool } from '../src/spool/spool.ts'
import { Marks } from '../src/syslog/marks.ts'
import { NoteFile } from '../src/syslog/note-file.ts'
import { UdpDoor } from '../src/syslog/udp-door.ts'
import {
  accessLine,
  clock,
  collectOn,
  collectorOptions,
  noMeters,
  openLog,
  random,
  rowsUntil,
  type Seen,
  temporaryFolder,
} from './edge-rig.ts'

const PROGRAM = fileURLToPath(new URL('./udp-collector.ts', import.meta.url))
/** Two beats of the door, as one may be late, and what it allows a sender. */
const SAID_TOO_MUCH_MS = 2 * 500 + 250
const KILLS = 2

test('killed in the midst of traffic: every line is there, or in a stretch of time that a row names, and the stretches are short', async () => {
  using folder = temporaryFolder()
  const traffic = startTraffic()
  let port = 0
  let downMs = 0
  for (let kill = 0; kill < KILLS; kill++) {
    const collector = await startProcess(folder.path, port)
    if (kill > 0) downMs += clock.wallMs()
    port = collector.port
    traffic.to(port)
    await clock.sleep(600 + random.unit() * 600)
    collector.child.kill('SIGKILL')
    downMs -= clock.wallMs()
    await once(collector.child, 'close')
  }
  const last = await startProcess(folder.path, port)
  downMs += clock.wallMs()
  await clock.sleep(200)
  await traffic.end()
  await stopProcess(last.child)
  const { lines, absences } = await collected(folder.path)
  const missing = [...traffic.sent].filter(([id]) => !lines.has(id))
  assert.ok(lines.size > 200, `only ${lines.size} lines came`)
  assert.ok(missing.length > 50, `only ${missing.length} lines are missing`)
  const untold = missing.filter(([, ms]) => !absences.some((row) => ms >= begin(row) && ms <= end(row)))
  assert.deepEqual(untold, [], `of ${JSON.stringify(absences)}`)
  assert.equal(absences.filter((row) => row.end === null).length, KILLS)
  const saidMs = absences.reduce((sum, row) => sum + end(row) - begin(row), 0)
  assert.ok(saidMs <= downMs + KILLS * SAID_TOO_MUCH_MS, `${saidMs} ms are said for ${downMs} ms`)
})

test('the first start of all tells nothing; one after a clean stop tells of the time between, once', async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const traffic = startTraffic()
  let port = 0
  const start = () => {
    const syslog = { udp: { host: '127.0.0.1', port }, tcp: null, unix: null, format: 'json' } as const
    return collectOn(broker, collectorOptions(folder.path, { syslog }))
  }
  const first = await start()
  port = first.ports.udp!
  traffic.to(port)
  await rowsUntil(broker, (seen) => seen.length >= 20)
  await traffic.end()
  await first.stop()
  const stoppedMs = clock.wallMs()
  await clock.sleep(20)
  const second = await start()
  const startedMs = clock.wallMs()
  await second.stop()
  await (await start()).stop()
  const withoutDoor = await collectOn(broker, collectorOptions(folder.path, {}))
  await withoutDoor.stop()
  const { lines, absences } = await collectedOn(broker)
  await broker.close()
  assert.equal(lines.size, traffic.sent.size)
  assert.equal(absences.length, 2, JSON.stringify(absences))
  const [one, other] = absences as [DroppedRow, DroppedRow]
  assert.ok(begin(one) > stoppedMs - SAID_TOO_MUCH_MS && begin(one) <= stoppedMs)
  assert.ok(end(one) >= stoppedMs + 20 && end(one) <= startedMs)
  assert.deepEqual([one.source, one.lines, one.reason], ['web-1:udp', null, 'not-running'])
  assert.notEqual(one.epoch, other.epoch)
})

test('what was sent before the time in the note is in the spool: also while the disk takes nothing, and lines come in between', async () => {
  using folder = temporaryFolder()
  await using closing = new AsyncDisposableStack()
  const given = {
    dir: join(folder.path, 'spool'),
    bytesMax: 10_000_000,
    whenFull: 'refuse',
    topic: EDGE_TOPIC,
  } as const
  const spool = await Spool.open({ ...given, source: 'web-1:spool', clock, onDropped() {} })
  closing.defer(() => spool.close())
  const disk = Promise.withResolvers<void>()
  const append = spool.append.bind(spool)
  spool.append = async (...given) => {
    await disk.promise
    return append(...given)
  }
  const flush = spool.flush.bind(spool)
  let isFlushing = true
  spool.flush = async () => isFlushing && flush()
  const redaction = createRedaction({ parameters: [], client: 'keep', members: [] })
  const decoding = { topic: EDGE_TOPIC, format: 'json', redaction, clock } as const
  const intake = new Intake({
    ...{ decoding, spool, road: 'syslog', source: 'web-1:udp', clock, random, meters: noMeters },
  })
  const notePath = join(folder.path, 'note')
  // Lines that are gathered stay so until somebody else flushes them.
  const slow = { ...clock, timer: (ms: number, then: () => void) => clock.timer(ms === 20 ? 60_000 : ms, then) }
  const parts = { intake, notePath, clock: slow, random, onTrouble: unexpected, onMissed: unexpected }
  const socket = createSocket('udp4')
  closing.defer(() => void socket.close())
  const door = await UdpDoor.open({ host: '127.0.0.1', port: 0 }, parts)
  closing.defer(() => door.stop())
  closing.defer(() => disk.resolve())
  const sent = new Map<string, number>()
  const send = async () => {
    const line = accessLine()
    sent.set(line, clock.wallMs())
    await new Promise((resolve) => socket.send(line, door.port, '127.0.0.1', resolve))
  }
  const settle = intake.settle.bind(intake)
  intake.settle = async () => {
    const isSettled = await settle()
    await clock.sleep(5)
    await send()
    await clock.sleep(5)
    return isSettled
  }
  await send()
  const firstMs = clock.wallMs()
  await clock.sleep(800)
  assert.ok((await notedMs(notePath)) <= firstMs)
  isFlushing = false
  disk.resolve()
  await clock.sleep(700)
  assert.ok((await notedMs(notePath)) <= firstMs, 'it is written, and not flushed')
  isFlushing = true
  const kept = new Set<string>()
  const noted = new Set<number>()
  while (noted.size < 4) {
    const atMs = await notedMs(notePath)
    noted.add(atMs)
    for (let taken = await spool.take(10_000); taken !== null; taken = await spool.take(10_000)) {
      for (const { value } of taken.records) kept.add(Buffer.from(value).toString())
    }
    const missing = [...sent].filter(([line, sentMs]) => sentMs < atMs && !kept.has(line))
    assert.deepEqual(missing, [])
    await clock.sleep(20)
  }
})

test('a socket that has its mark back has all that came before it, however much that is', async () => {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const marks = new Marks(socket, clock, random)
  let lines = 0
  socket.on('message', (datagram, from) => {
    if (!marks.take(datagram, from)) lines++
  })
  const sender = createSocket('udp4')
  const { port } = socket.address()
  for (let round = 0; round < 5; round++) {
    const sent = Array.from({ length: 150 }, () => new Promise((done) => sender.send('line', port, '127.0.0.1', done)))
    await sent[0]
    assert.equal(await marks.pass(), true)
    assert.equal(lines, (round + 1) * sent.length)
  }
  sender.close()
  socket.close()
})

async function startProcess(dir: string, port: number) {
  const child = spawn(process.execPath, [PROGRAM, dir, String(port)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, port: Number(said) }
}

async function stopProcess(child: Awaited<ReturnType<typeof startProcess>>['child']): Promise<void> {
  child.stdin.end()
  await once(child, 'close')
}

interface Traffic {
  /** By id, when it was sent. Wall ms. */
  readonly sent: ReadonlyMap<string, number>
  to(port: number): void
  end(): Promise<void>
}

/** A line every 2 ms or so, whether somebody is there or not. */
function startTraffic(): Traffic {
  const sent = new Map<string, number>()
  const socket: Socket = createSocket('udp4')
  let port = 0
  const timer = setInterval(() => {
    if (port === 0) return
    const line = accessLine()
    sent.set((JSON.parse(line) as { requestId: string }).requestId, clock.wallMs())
    socket.send(`<190>Nov 21 13:55:01 forebay: ${line}`, port, '127.0.0.1')
  }, 2)
  return {
    sent,
    to(given) {
      port = given
    },
    async end() {
      clearInterval(timer)
      // What was sent is in the collector's socket; until it has been read.
      await clock.sleep(50)
      socket.close()
    },
  }
}

interface Collected {
  readonly lines: ReadonlySet<string>
  /** Each once. */
  readonly absences: readonly DroppedRow[]
}

async function collected(dir: string): Promise<Collected> {
  const broker = await openLog(dir)
  const found = await collectedOn(broker)
  await broker.close()
  return found
}

async function collectedOn(broker: Broker): Promise<Collected> {
  const [state] = await broker.inspect({ topics: ['forebay.edge.access'] })
  const rows = state!.end === 0 ? [] : await rowsUntil(broker, (seen) => lastOffset(seen) + 1 >= state!.end)
  const lines = new Set(rows.flatMap(({ row }) => (row.kind === 'access' ? [row.requestId] : [])))
  const dropped = rows.flatMap(({ row }) => (row.kind === 'dropped' ? [row] : []))
  const once = new Map(dropped.map((row) => [JSON.stringify(row), row]))
  return { lines, absences: [...once.values()].filter(({ reason }) => reason === 'not-running') }
}

function lastOffset(seen: readonly Seen[]): number {
  return seen.at(-1)?.record.offset ?? -1
}

function begin({ from }: DroppedRow): number {
  return Date.parse(from!)
}

function end({ until }: DroppedRow): number {
  return Date.parse(until!)
}

function unexpected(what: unknown): never {
  throw new Error('nothing should have been said', { cause: what })
}

async function notedMs(path: string): Promise<number> {
  const { file, found } = await NoteFile.open(path)
  await file.close()
  return found.state === 'found' ? (JSON.parse(found.text) as { receivedMs: number }).receivedMs : Number.NaN
}
