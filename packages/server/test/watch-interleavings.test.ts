import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { positionAfter, readPosition } from '../src/accept/watching.ts'
import type { WatchEvent } from '../src/reply/replies.ts'
import type { KeptOutputs } from '../src/store/outputs.ts'
import type { RecordedEntry } from '../src/store/store.ts'
import { countsAfter, type Note, type OpenState, type Output } from '../src/task.ts'
import { idOf } from './support/results-rig.ts'
import { chunk, note, PROGRESS, resultEntry, World } from './support/watch-world.ts'

/**
 * The scheduler plays the ports of two gateways on one store: every look, every page and every step of a recorder
 * happens at a moment of its choosing, and either gateway may be ahead. The clock stands still, so who misses a wake-up
 * waits for ever. What readers are told is held against the log, read from one end to the other.
 */
test('whatever the order, a reader is told every chunk once, each restart, and the end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.array(act, { maxLength: 40 }), readers, async (scheduler, acts, plans) => {
      const log = logOf(acts)
      const world = new World(scheduler, log)
      const reads = plans.map((plan) => read(world, plan))
      world.run()
      await scheduler.waitIdle()
      for (const [index, asked] of reads.entries()) {
        const told = await Promise.race([asked, Promise.resolve(null)])
        assert.ok(told !== null, `reader ${index} still waits`)
        judge(told, log)
      }
      for (const gateway of world.gateways) assert.equal(await gateway.watching(), 0)
    }),
    { numRuns: 300 },
  )
})

const act = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('say' as const), run: fc.nat(3), progress: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('double' as const), run: fc.nat(3), back: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('note' as const), state: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('result' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('life' as const) }) },
)
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never

/** What a reader takes before it is cut, connection by connection; the last one is cut no more. */
const readers = fc.array(fc.record({ gateway: fc.nat(1), cuts: fc.array(fc.nat(6), { maxLength: 4 }) }), {
  minLength: 1,
  maxLength: 4,
})

test('what a reader does not ask for is not gathered', async () => {
  const entries: RecordedEntry[] = []
  for (let n = 1; n <= 2_000; n++) entries.push({ kind: 'output', offset: n - 1, output: chunk(0, 0, 'a', n, 1_000) })
  entries.push(resultEntry(entries.length, 0))
  const world = new World(null, entries)
  const watch = world.gateways[0].replies.watch(idOf('t', 0), -1)!
  assert.deepEqual(await watch.next(), [{ kind: 'state', view: null }])
  await world.run()
  const sizes: number[] = []
  let chunks = 0
  let events = await watch.next()
  for (; events !== null; events = await watch.next()) {
    const outputs = events.filter((event) => event.kind === 'output')
    chunks += outputs.length
    sizes.push(outputs.length)
  }
  assert.equal(chunks, 2_000)
  // Pages of the store, none larger than it was asked for; heard are at most 64 entries.
  assert.ok(Math.max(...sizes) <= 128 + 64, `${Math.max(...sizes)} at once`)
  assert.ok(world.pages >= 2_000 / 132, `${world.pages} pages`)
})

test('a look that fails is told to the reader, who may ask again', async () => {
  const world = new World(null, [
    { kind: 'output', offset: 0, output: chunk(0, 0, 'a', 1) },
    { kind: 'output', offset: 1, output: chunk(0, 0, 'a', 2) },
    resultEntry(2, 0),
  ])
  await world.run()
  const watch = world.gateways[0].replies.watch(idOf('t', 0), 0)!
  world.broken = true
  await assert.rejects(watch.next(), /out of reach/)
  world.broken = false
  assert.deepEqual(
    (await watch.next())!.map((event) => (event.kind === 'output' ? event.chunks : event.kind)),
    [2, 'end'],
  )
  assert.equal(await watch.next(), null)
  assert.equal(await world.gateways[0].watching(), 0)
})

test('a dead task that gets another life between two looks is not told to have ended without its chunks', async () => {
  const world = new World(null, [
    { kind: 'output', offset: 0, output: chunk(0, 0, 'a', 1) },
    resultEntry(1, 0),
    note(2, 'pending', 0, 1),
    { kind: 'output', offset: 3, output: chunk(1, 0, 'b', 1) },
    resultEntry(4, 1),
  ])
  await world.run(2)
  const watch = world.gateways[0].replies.watch(idOf('t', 0), -1)!
  world.beforePage = async () => {
    world.beforePage = async () => {}
    await world.run(4)
  }
  const told: string[] = []
  const take = async () => {
    for (const event of (await watch.next()) ?? []) told.push(event.kind === 'output' ? `${event.offset}` : event.kind)
  }
  await take()
  assert.deepEqual(told, ['state', '3'])
  await world.run()
  await take()
  assert.deepEqual(told, ['state', '3', 'end'])
})

test('a watch that is stopped lets go of whoever waits for it', async () => {
  const world = new World(null, [])
  const watch = world.gateways[0].replies.watch(idOf('t', 0), -1)!
  assert.deepEqual(await watch.next(), [{ kind: 'state', view: null }])
  const waiting = watch.next()
  const other = world.gateways[0].replies.watch(idOf('t', 0), -1)!
  assert.equal(await world.gateways[0].watching(), 2)
  watch.stop()
  watch.stop()
  assert.equal(await waiting, null)
  assert.equal(await watch.next(), null)
  assert.equal(await world.gateways[0].watching(), 1)
  await other.next()
  const last = other.next()
  world.gateways[0].replies.stop()
  assert.equal(await last, null)
  assert.equal(world.gateways[0].replies.watch(idOf('t', 0), -1), null)
  assert.equal(await world.gateways[0].watching(), 0)
})

test('the states of a task are told in the order of the log, none twice, also those that an operator set back', async () => {
  const notes: [OpenState, number][] = [
    ['running', 1],
    ['retrying', 1],
    ['retrying', 1],
    ['running', 2],
    ['parked', 2],
    ['running', 1],
    ['retrying', 1],
  ]
  const world = new World(
    null,
    notes.map(([state, attempts], offset) => note(offset, state, attempts)),
  )
  const watch = world.gateways[0].replies.watch(idOf('t', 0), -1)!
  await watch.next()
  const running = world.run()
  const told: string[] = []
  while (told.length < 6) {
    for (const event of (await watch.next())!) {
      if (event.kind === 'state') told.push(`${event.view!.state} ${event.view!.attempts}`)
    }
  }
  await running
  watch.stop()
  assert.deepEqual(told, ['running 1', 'retrying 1', 'running 2', 'parked 2', 'running 1', 'retrying 1'])
})

interface Told {
  /** By connection. */
  readonly connections: WatchEvent[][]
  readonly last: WatchEvent & { readonly kind: 'end' }
}

/** Takes some events, is cut, comes back at the other gateway with the last position, until it was told the end. */
async function read(
  world: World,
  { gateway, cuts }: { readonly gateway: number; readonly cuts: readonly number[] },
): Promise<Told> {
  const connections: WatchEvent[][] = []
  let position = ''
  for (let connection = 0; ; connection++) {
    const { replies } = world.gateways[(gateway + connection) % 2]!
    const after = readPosition(position)!
    const watch = replies.watch(idOf('t', 0), after.kind === 'output' ? after.offset : -1)!
    const taken: WatchEvent[] = []
    connections.push(taken)
    const cutAfter = cuts[connection] ?? Number.POSITIVE_INFINITY
    while (taken.length < cutAfter) {
      const events = await watch.next()
      assert.ok(events !== null && events.length > 0)
      for (const event of events.slice(0, cutAfter - taken.length)) {
        taken.push(event)
        position = positionAfter(event) || position
        if (event.kind !== 'end') continue
        assert.equal(events.at(-1), event, 'something comes after the end')
        assert.equal(await watch.next(), null)
        return { connections, last: event }
      }
    }
    watch.stop()
  }
}

function judge({ connections, last }: Told, log: readonly RecordedEntry[]): void {
  const { generation } = last.view
  const end = log.findIndex((entry) => entry.kind === 'result' && entry.result.generation === generation)
  assert.equal(last.view.fault!.detail, `result ${end}`, 'another result was the first')
  const streams = streamsOf(log)
  let said: string[] = []
  let stream = -1
  let restarted = false
  let offset = -1
  for (const events of connections) {
    let state: string | null = null
    let atMs = -1
    const begins = events.slice(0, 1).map((event) => event.kind)
    assert.ok(begins.length === 0 || begins[0] === 'state' || endsWithoutState(events), `it begins with ${begins[0]}`)
    for (const event of events) {
      if (event.kind === 'restart') {
        assert.ok(said.length > 0 || restarted, 'restart where nothing was said')
        said = []
        restarted = true
      } else if (event.kind === 'output') {
        assert.ok(event.offset > offset, 'offsets go back')
        offset = event.offset
        const next = streams.findIndex(({ offsets }) => offsets.includes(offset))
        assert.ok(next >= 0, 'a zombie was heard')
        assert.equal(stream >= 0 && stream !== next, restarted, 'a restart too many, or too few')
        restarted = false
        stream = next
        said.push(wordOf(event))
      } else if (event.kind === 'state') {
        const { state: name = 'pending', attempts = 0, generation = 0 } = event.view ?? {}
        const told = `${name} ${attempts} ${generation}`
        assert.notEqual(told, state, 'the same state twice')
        state = told
        const at = log.findIndex(
          (entry, index) => index > atMs && entry.kind === 'note' && stateOf(entry.note) === told,
        )
        if (event.view !== null) {
          assert.ok(at >= 0, `${told} was not so, or was before`)
          atMs = at
        }
      }
    }
  }
  const counting = streams.findLast((one) => one.generation === generation && one.offsets[0]! < end)
  // Where its last life said nothing, what was said before stands.
  if (counting === undefined) return
  const chunks = counting.chunks
    .slice(0, counting.offsets.findLastIndex((at) => at < end) + 1)
    .filter((word) => word !== '')
  assert.deepEqual(
    said.filter((word) => word !== 'progress'),
    chunks,
  )
}

interface Stream {
  readonly generation: number
  readonly run: string
  /** Of all that counts. */
  readonly offsets: number[]
  /** At the same places; '' for progress. */
  readonly chunks: string[]
}

/** What counts of what was said, each beginning a stream of its own. */
function streamsOf(log: readonly RecordedEntry[]): readonly Stream[] {
  const streams: Stream[] = []
  const ended = new Set<number>()
  let head: KeptOutputs['head'] | null = null as KeptOutputs['head'] | null
  for (const entry of log) {
    if (entry.kind === 'result') ended.add(entry.result.generation)
    if (entry.kind !== 'output') continue
    const { output, offset } = entry
    const { generation, run, chunks, content } = output
    const last = streams.at(-1)
    if (ended.has(generation) || (last !== undefined && last.generation > generation)) continue
    if (!countsAfter(last?.generation === generation ? head : null, output)) continue
    if (last?.generation !== generation || head?.run !== run) streams.push({ generation, run, offsets: [], chunks: [] })
    head = { run, chunks }
    streams.at(-1)!.offsets.push(offset)
    streams.at(-1)!.chunks.push(content.kind === 'chunk' ? Buffer.from(content.payload).toString() : '')
  }
  return streams
}

/** Who comes after the end is told what was said, and the end. */
function endsWithoutState(events: readonly WatchEvent[]): boolean {
  return events.every((event) => event.kind !== 'state')
}

function stateOf({ state, attempts, generation }: Note): string {
  return `${state} ${attempts} ${generation}`
}

function wordOf(event: WatchEvent & { readonly kind: 'output' }): string {
  if (event.content.kind === 'progress') return 'progress'
  const word = Buffer.from(event.content.payload).toString()
  assert.ok(word.endsWith(` ${event.chunks}`))
  return word
}

/** Runs that speak in turn (so that all but the latest are zombies), publishes that are doubled, results that come twice. */
function logOf(acts: readonly Act[]): RecordedEntry[] {
  const log: RecordedEntry[] = []
  const runs = new Map<string, Output[]>()
  let generation = 0
  const ended = () => log.some((entry) => entry.kind === 'result' && entry.result.generation === generation)
  const push = (output: Output) => log.push({ kind: 'output', offset: log.length, output })
  for (const one of acts) {
    if (one.kind === 'say') {
      const name = `${generation}-${one.run}`
      const before = runs.get(name) ?? []
      runs.set(name, before)
      const chunks = before.at(-1)?.chunks ?? 0
      const first = before.length === 0
      const output = one.progress
        ? { ...chunk(generation, one.run, name, chunks), content: PROGRESS, first }
        : { ...chunk(generation, one.run, name, chunks + 1), first }
      before.push(output)
      push(output)
    } else if (one.kind === 'double') {
      const said = runs.get(`${generation}-${one.run}`) ?? []
      for (const output of said.slice(-1 - one.back)) push(output)
    } else if (one.kind === 'note') {
      const attempts = 1 + log.filter((entry) => entry.kind === 'note').length
      log.push(note(log.length, (['running', 'retrying', 'parked'] as const)[one.state]!, attempts, generation))
    } else if (one.kind === 'result') log.push(resultEntry(log.length, generation))
    else if (ended()) {
      generation++
      log.push(note(log.length, 'pending', 0, generation))
    }
  }
  if (!ended()) log.push(resultEntry(log.length, generation))
  return log
}
