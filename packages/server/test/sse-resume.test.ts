import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { outputRecord } from '../src/records.ts'
import type { Output } from '../src/task.ts'
import { type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'
import { SseReader } from './support/sse-reader.ts'

/** In all; `CUTS=1000` for the long form. */
const CUTS = Number(process.env.CUTS ?? 100)
const TASKS = 6
/** How often a task speaks until another attempt takes its place. */
const REPLACED_EVERY = 15
/** Most that a connection lets pass before it is cut. bytes */
const CUT_AFTER_BYTES_MAX = 6_000

test(`streams cut ${CUTS} times at any byte, over two gateways: no chunk is missing, none comes twice`, async (t) => {
  const queues = [queueOptions('orders', { partitions: 1 })]
  const one = await openDoorsRig({ queues })
  const two = await openDoorsRig({ queues, shared: one })
  const cuts = new Cuts(CUTS)
  const gateways = await Promise.all([one, two].map((rig) => cutting(t, rig.port, cuts)))
  t.after(async () => {
    await two.stop()
    await one.stop()
  })
  const tasks = await Promise.all(Array.from({ length: TASKS }, () => TalkingTask.begin(one)))
  const readers = tasks.map((task) => read(task.id, gateways))
  while (cuts.left > 0) {
    await Promise.all(tasks.map((task) => task.talk()))
    await sleep(2)
  }
  await Promise.all(tasks.map((task) => task.end()))
  let restarts = 0
  for (const [index, reader] of readers.entries()) {
    const told = await reader
    assert.deepEqual(told.chunks, tasks[index]!.counting)
    restarts += told.restarts
    assert.ok(told.connections > 1 && new Set(told.offsets).size === told.offsets.length)
  }
  assert.ok(restarts > 0, 'no run was ever replaced')
  t.diagnostic(
    `${cuts.made} cuts, ${tasks.reduce((sum, task) => sum + task.said, 0)} chunks, ${restarts} restarts seen`,
  )
})

interface Told {
  /** Those that count in the end. */
  readonly chunks: readonly string[]
  readonly offsets: readonly string[]
  readonly restarts: number
  readonly connections: number
}

/** Comes back at a gateway drawn at random, with the last id it has, until it was told the result. */
async function read(id: string, gateways: readonly string[]): Promise<Told> {
  let chunks: string[] = []
  const offsets: string[] = []
  let restarts = 0
  let last = ''
  let attempt = 0
  for (let connections = 1; ; connections++) {
    const url = gateways[Math.floor(Math.random() * gateways.length)]!
    const headers: Record<string, string> = last === '' ? {} : { 'last-event-id': last }
    try {
      const reader = await SseReader.open(`${url}/v1/tasks/${id}/events`, headers)
      assert.equal(reader.response.status, 200)
      for (let event = await reader.next(); event !== null; event = await reader.next()) {
        if (event.id !== '') last = event.id
        if (event.event === 'result') return { chunks, offsets, restarts, connections }
        if (event.event === 'restart') {
          chunks = []
          restarts++
        }
        if (event.event !== 'chunk') continue
        const text = String(event.data.text)
        assert.equal(event.data.chunk, chunks.length + 1, `attempt ${attempt}, then ${event.data.attempt}`)
        assert.equal(text.slice(0, text.indexOf('|')), `${event.data.attempt} ${event.data.chunk}`)
        attempt = Number(event.data.attempt)
        chunks.push(text)
        offsets.push(event.id)
      }
    } catch (thrown) {
      if (thrown instanceof assert.AssertionError) throw thrown
      // Cut: fetch says so in several ways.
    }
  }
}

/** A task whose attempts speak on and on, and are replaced now and then; the replaced ones speak on for a while. */
class TalkingTask {
  readonly id: string
  counting: string[] = []
  said = 0
  readonly #rig: DoorsRig
  #attempt = 1
  #talks = 0
  #zombie: { readonly attempt: number; chunks: number } | null = null

  static async begin(rig: DoorsRig): Promise<TalkingTask> {
    const response = await fetch(`${rig.url}/v1/queues/orders/tasks`, { method: 'POST', body: 'x' })
    return new TalkingTask(rig, ((await response.json()) as { id: string }).id)
  }

  constructor(rig: DoorsRig, id: string) {
    this.#rig = rig
    this.id = id
  }

  async talk(): Promise<void> {
    const records = []
    if (this.#talks++ % REPLACED_EVERY === REPLACED_EVERY - 1) {
      this.#zombie = { attempt: this.#attempt, chunks: this.counting.length }
      this.#attempt++
      this.counting = []
    }
    for (let n = Math.floor(Math.random() * 4); n >= 0; n--) {
      const text = `${this.#attempt} ${this.counting.length + 1}|${'.'.repeat(Math.random() * 800)}`
      this.counting.push(text)
      records.push(this.#record(this.#attempt, this.counting.length, text))
      if (this.#zombie !== null) {
        this.#zombie.chunks++
        records.push(this.#record(this.#zombie.attempt, this.#zombie.chunks, 'a zombie'))
      }
      // A publish that was tried again.
      if (Math.random() < 0.1) records.push(records.at(-1)!)
    }
    this.said += records.length
    await this.#rig.broker.publish(records)
  }

  async end(): Promise<void> {
    await this.#rig.end(this.id, { state: 'succeeded', payload: Buffer.from('done'), contentType: 'text/plain' })
  }

  #record(attempts: number, chunks: number, text: string) {
    const content: Output['content'] = { kind: 'chunk', payload: Buffer.from(text), contentType: 'text/plain' }
    const run = String(attempts).padStart(16, '0')
    const about = { taskId: this.id, queue: 'orders', owner: 'anonymous', attempts, generation: 0, atMs: Date.now() }
    return outputRecord({ ...about, run, first: chunks === 1, chunks, content }, this.#rig.replies.lane)
  }
}

class Cuts {
  left: number
  made = 0

  constructor(left: number) {
    this.left = left
  }

  take(): boolean {
    if (this.left === 0) return false
    this.left--
    this.made++
    return true
  }
}

/** A road to a port that is cut after a random number of bytes, again and again; returns its URL. */
async function cutting(t: TestContext, port: number, cuts: Cuts): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const upstream = connect(port, '127.0.0.1')
    let left = Math.floor(Math.random() * CUT_AFTER_BYTES_MAX)
    for (const one of [socket, upstream]) {
      sockets.add(one)
      one.on('error', () => {})
      one.on('close', () => {
        sockets.delete(one)
        socket.destroy()
        upstream.destroy()
      })
    }
    socket.pipe(upstream)
    upstream.on('data', (bytes: Buffer) => {
      if (bytes.length <= left || !cuts.take()) {
        left -= bytes.length
        socket.write(bytes)
        return
      }
      upstream.destroy()
      socket.end(bytes.subarray(0, left))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
