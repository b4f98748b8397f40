import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Broker, PublishError, partitionOf, type RecordToPublish, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { pino } from 'pino'
import { type Schedules, startSchedules } from '../src/dispatch/schedules.ts'
import type { QueueOptions } from '../src/options.ts'
import type { GivenQueue } from '../src/options-schema.ts'
import { decodeTask } from '../src/records.ts'
import { requireOptions } from '../src/resolve-options.ts'
import { ManualClock } from '../src/store/contract/manual-clock.ts'
import { type Owned, type Parking, ParkingFenced } from '../src/store/parking.ts'
import type { Task } from '../src/task.ts'

const TOPIC = 'forebay.tasks.mail'
const PARTITIONS = 4
const LANES = 3
const MINUTE_MS = 60_000

test('a schedule makes a task each time it fires, like any other but for its owner and its id', async (t) => {
  const { clock, fired, own, kept } = await rig(t)
  clock.jumpTo('2026-06-01T12:03:00Z')
  own({ cron: '*/5 * * * *', body: { kind: 'digest' }, key: 'all' })
  await kept.isKept('2026-06-01T12:03:00Z')
  clock.advance(2 * MINUTE_MS)
  const { task, partition } = await fired.next()
  assert.equal(task.id, 'schedule:mail:nightly:2026-06-01T12:05:00.000Z')
  assert.equal(task.owner, 'schedule')
  assert.equal(task.key, 'all')
  assert.equal(partition, partitionOf(Buffer.from('all'), PARTITIONS))
  assert.equal(task.lane, partition % LANES)
  assert.equal(Buffer.from(task.payload).toString(), '{"kind":"digest"}')
  assert.equal(task.contentType, 'application/json')
  assert.equal(task.acceptedAtMs, Date.parse('2026-06-01T12:05:00Z'))
  assert.equal(task.budgetMs, 86_400_000)
})

test('it fires on time, again and again, and whoever takes over goes on where it was', async (t) => {
  const { clock, fired, own, kept } = await rig(t)
  clock.jumpTo('2026-06-01T12:00:30Z')
  const first = own({ cron: '* * * * *' })
  await kept.isKept('2026-06-01T12:00:30Z')
  for (const time of ['12:01', '12:02']) {
    clock.advance(MINUTE_MS)
    assert.equal(await fired.time(), time)
    await kept.isKept(`2026-06-01T${time}:00Z`)
  }
  await first.lose()
  own({ cron: '* * * * *' })
  for (const time of ['12:03', '12:04']) {
    clock.advance(MINUTE_MS)
    assert.equal(await fired.time(), time)
    await kept.isKept(`2026-06-01T${time}:00Z`)
  }
  assert.equal(fired.waiting, 0)
})

test('a schedule that is new has missed nothing', async (t) => {
  const { clock, fired, own, kept } = await rig(t)
  clock.jumpTo('2026-06-01T12:00:30Z')
  own({ cron: '* * * * *', missed: 'all' })
  await kept.isKept('2026-06-01T12:00:30Z')
  clock.advance(MINUTE_MS)
  assert.equal(await fired.time(), '12:01')
  assert.equal(fired.waiting, 0)
})

for (const [missed, times] of [
  ['skip', []],
  ['once', ['15:00']],
  ['all', ['13:00', '14:00', '15:00']],
] as const) {
  test(`of what was missed while nobody owned the partition, '${missed}' makes up for ${times.length}`, async (t) => {
    const { clock, fired, own, kept } = await rig(t)
    kept.set('2026-06-01T12:00:00Z')
    clock.jumpTo('2026-06-01T15:20:00Z')
    own({ cron: '0 * * * *', missed })
    for (const time of times) assert.equal(await fired.time(), time)
    await kept.isKept('2026-06-01T15:00:00Z')
    clock.advance(40 * MINUTE_MS)
    assert.equal(await fired.time(), '16:00')
    assert.equal(fired.waiting, 0)
  })
}

test('a hand-over that takes seconds is no miss, not even for skip', async (t) => {
  const { clock, fired, own, kept } = await rig(t)
  kept.set('2026-06-01T12:00:00Z')
  clock.jumpTo('2026-06-01T13:00:08Z')
  own({ cron: '0 * * * *', missed: 'skip' })
  assert.equal(await fired.time(), '13:00')
})

test('through the changes of the clocks a night in Berlin has one fire each', async (t) => {
  for (const [eve, fires] of [
    ['2026-03-28T12:00:00Z', ['2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z']],
    ['2026-10-24T12:00:00Z', ['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z']],
  ] as const) {
    const { clock, fired, own, kept } = await rig(t)
    kept.set(eve)
    clock.jumpTo(eve)
    own({ cron: '30 2 * * *', timeZone: 'Europe/Berlin' })
    for (const fire of fires) {
      while (clock.wallMs() < Date.parse(fire)) clock.advance(10 * MINUTE_MS)
      assert.equal((await fired.next()).task.id, `schedule:mail:nightly:${fire}`)
      await kept.isKept(fire)
    }
    assert.equal(fired.waiting, 0)
  }
})

test('a wall clock that jumps back fires nothing twice', async (t) => {
  const { clock, fired, own, kept } = await rig(t)
  kept.set('2026-06-01T12:00:00Z')
  clock.jumpTo('2026-06-01T12:00:30Z')
  const first = own({ cron: '* * * * *', missed: 'all' })
  clock.advance(MINUTE_MS)
  assert.equal(await fired.time(), '12:01')
  await kept.isKept('2026-06-01T12:01:00Z')
  clock.jumpTo('2026-06-01T11:31:30Z')
  for (let minute = 0; minute < 20; minute++) clock.advance(MINUTE_MS)
  await first.lose()
  own({ cron: '* * * * *', missed: 'all' })
  for (let minute = 0; minute < 10; minute++) clock.advance(MINUTE_MS)
  clock.advance(MINUTE_MS)
  assert.equal(await fired.time(), '12:02', 'the first after the jump')
  assert.equal(fired.waiting, 0)
})

test('a wall clock that jumps ahead misses what it passes over', async (t) => {
  const { clock, fired, own, kept } = await rig(t)
  kept.set('2026-06-01T12:00:00Z')
  clock.jumpTo('2026-06-01T12:00:10Z')
  own({ cron: '*/10 * * * *', missed: 'once' })
  await clock.somebodyWaits()
  clock.jumpTo('2026-06-01T14:05:00Z')
  clock.advance(10_000)
  assert.equal(await fired.time(), '14:00')
  await kept.isKept('2026-06-01T14:00:00Z')
  clock.advance(5 * MINUTE_MS)
  assert.equal(await fired.time(), '14:10')
  assert.equal(fired.waiting, 0)
})

test('who takes over between the record and the note of it publishes the same task again, under the same id', async (t) => {
  const { clock, fired, own, kept } = await rig(t)
  kept.set('2026-06-01T12:00:00Z')
  clock.jumpTo('2026-06-01T12:59:00Z')
  kept.down = true
  const first = own({ cron: '0 * * * *' })
  clock.advance(MINUTE_MS)
  const before = await fired.next()
  await first.lose()
  kept.down = false
  own({ cron: '0 * * * *' })
  const again = await fired.next()
  assert.equal(again.task.id, before.task.id)
  assert.equal(again.task.lane, before.task.lane, 'where the first result wins')
  assert.equal(again.partition, before.partition)
  await kept.isKept('2026-06-01T13:00:00Z')
})

test('a fire that somebody else has fenced off is noted under the next epoch', async (t) => {
  const { clock, fired, own, kept } = await rig(t)
  kept.set('2026-06-01T12:00:00Z')
  clock.jumpTo('2026-06-01T12:59:00Z')
  own({ cron: '0 * * * *' })
  kept.epoch++
  clock.advance(MINUTE_MS)
  assert.equal(await fired.time(), '13:00')
  await kept.isKept('2026-06-01T13:00:00Z')
})

test('while the log refuses or does not answer it tries on, and says nothing fired before the log has it', async (t) => {
  const { clock, fired, own, kept, faults } = await rig(t)
  kept.set('2026-06-01T12:00:00Z')
  clock.jumpTo('2026-06-01T14:30:00Z')
  faults.push('refused', 'unknown', 'refused')
  own({ cron: '0 * * * *', missed: 'all' })
  while (fired.seen < 4) await clock.somebodyWaits().then(() => clock.advance(10_000))
  assert.deepEqual(
    new Set([await fired.time(), await fired.time(), await fired.time(), await fired.time()]),
    new Set(['13:00', '14:00']),
    'twice each: the one whose outcome was unknown had been kept',
  )
  await kept.isKept('2026-06-01T14:00:00Z')
  assert.deepEqual(kept.notes, [Date.parse('2026-06-01T14:00:00Z')])
})

test('a thousand missed fires go out in order, and more than that are left out', async (t) => {
  const { clock, fired, own, kept } = await rig(t)
  kept.set('2026-06-01T12:00:00Z')
  clock.jumpTo('2026-06-02T12:00:00Z')
  own({ cron: '* * * * *', missed: 'all', key: 'k' })
  const times: number[] = []
  for (let i = 0; i < 1_000; i++)
    times.push(Date.parse((await fired.next()).task.id.slice('schedule:mail:nightly:'.length)))
  assert.equal(times[0], Date.parse('2026-06-02T12:00:00Z') - 999 * MINUTE_MS)
  for (const [index, time] of times.entries()) assert.equal(time, times[0]! + index * MINUTE_MS)
  await kept.isKept('2026-06-02T12:00:00Z')
  assert.equal(fired.waiting, 0)
})

test('once stopped, or its partition lost, nothing fires any more and nothing is left running', async (t) => {
  const { clock, fired, own, kept } = await rig(t)
  for (const end of ['lose', 'stop'] as const) {
    kept.set('2026-06-01T12:00:00Z')
    clock.jumpTo('2026-06-01T12:00:01Z')
    const schedules = own({ cron: '* * * * *' })
    await clock.somebodyWaits()
    await schedules[end]()
    assert.equal(clock.pending, 0)
    clock.advance(60 * MINUTE_MS)
  }
  kept.set('2026-06-01T12:00:00Z')
  clock.jumpTo('2026-06-01T12:01:00Z')
  own({ cron: '* * * * *' })
  assert.equal(await fired.time(), '12:01')
  assert.equal(fired.waiting, 0)
})

test('several schedules of a queue fire each for itself', async (t) => {
  const { clock, fired, ownAll } = await rig(t)
  clock.jumpTo('2026-06-01T12:00:30Z')
  ownAll({ often: { cron: '* * * * *' }, seldom: { cron: '*/2 * * * *' } })
  await clock.somebodyWaits(2)
  const ids: string[] = []
  for (const count of [1, 2]) {
    clock.advance(MINUTE_MS)
    for (let i = 0; i < count; i++) ids.push((await fired.next()).task.id.slice('schedule:mail:'.length))
    await clock.somebodyWaits(2)
  }
  assert.deepEqual(ids.sort(), [
    'often:2026-06-01T12:01:00.000Z',
    'often:2026-06-01T12:02:00.000Z',
    'seldom:2026-06-01T12:02:00.000Z',
  ])
})

/** Wall time that can be set while time as such goes on evenly. */
class JumpingClock extends ManualClock {
  #aheadMs = 0
  #onTimer: (() => void)[] = []

  override wallMs(): number {
    return super.wallMs() + this.#aheadMs
  }

  override timer(delayMs: number, callback: () => void) {
    const timer = super.timer(delayMs, callback)
    for (const tell of this.#onTimer.splice(0)) tell()
    return timer
  }

  jumpTo(time: string): void {
    this.#aheadMs = Date.parse(time) - super.wallMs()
  }

  async somebodyWaits(timers = 1): Promise<void> {
    while (this.pending < timers) await new Promise<void>((resolve) => this.#onTimer.push(resolve))
  }
}

/** The two calls of the port that schedules need, with its fence; the store's own are held to its contract elsewhere. */
class KeptFires implements Pick<Parking, 'lastFired' | 'fired'> {
  epoch = 1
  /** Refuses to note anything. */
  down = false
  readonly notes: number[] = []
  readonly #last = new Map<string, number>()
  #onNote: (() => void)[] = []

  set(time: string): void {
    this.#last.set('nightly', Date.parse(time))
  }

  async lastFired(_queue: string, schedule: string): Promise<number | null> {
    return this.#last.get(schedule) ?? null
  }

  async fired(owned: Owned, schedule: string, atMs: number): Promise<void> {
    if (owned.epoch !== this.epoch) throw new ParkingFenced(owned)
    if (this.down) throw new Error('The store is down.')
    this.#last.set(schedule, atMs)
    this.notes.push(atMs)
    for (const tell of this.#onNote.splice(0)) tell()
  }

  async isKept(time: string): Promise<void> {
    while (this.#last.get('nightly') !== Date.parse(time)) {
      await new Promise<void>((resolve) => this.#onNote.push(resolve))
    }
  }
}

interface Fired {
  readonly task: Task
  readonly partition: number
}

/** What stands in the log, in the order in which it was heard. */
class FiredTasks {
  seen = 0
  readonly #heard: Fired[] = []
  #onHeard: (() => void)[] = []

  hear(one: Fired): void {
    this.seen++
    this.#heard.push(one)
    for (const tell of this.#onHeard.splice(0)) tell()
  }

  get waiting(): number {
    return this.#heard.length
  }

  async next(): Promise<Fired> {
    while (this.#heard.length === 0) await new Promise<void>((resolve) => this.#onHeard.push(resolve))
    return this.#heard.shift()!
  }

  /** '12:05' of the next. */
  async time(): Promise<string> {
    const { task } = await this.next()
    return /T(\d\d:\d\d):00\.000Z$/.exec(task.id)?.[1] ?? task.id
  }
}

type Entry = NonNullable<NonNullable<GivenQueue['schedule']>[string]>

async function rig(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-schedules-'))
  const broker = embeddedBroker({ dir })
  const clock = new JumpingClock()
  const kept = new KeptFires()
  const fired = new FiredTasks()
  const faults: ('refused' | 'unknown')[] = []
  const open = new Set<{ lose(): Promise<void> }>()
  await broker.open({ topics: [{ name: TOPIC, partitions: PARTITIONS, retentionMs: 'forever' }] })
  for (let partition = 0; partition < PARTITIONS; partition++) void hear(broker, partition, fired)
  t.after(async () => {
    for (const one of open) await one.lose()
    await broker.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const ownAll = (schedule: Record<string, Entry>) => {
    const lost = new AbortController()
    const schedules = start(queueOf(schedule), lost.signal)
    const owner = {
      async lose(): Promise<void> {
        lost.abort()
        await schedules.ended
        open.delete(owner)
      },
      async stop(): Promise<void> {
        schedules.stop()
        await schedules.ended
      },
    }
    open.add(owner)
    return owner
  }
  return { clock, kept, fired, faults, ownAll, own: (entry: Entry) => ownAll({ nightly: entry }) }

  function start(queue: QueueOptions, lost: AbortSignal): Schedules {
    let epoch = kept.epoch
    return startSchedules({
      queue,
      partitions: PARTITIONS,
      lanes: LANES,
      broker: { publish: (records) => publishWith(faults.shift(), records) },
      parking: kept,
      ownership: {
        async underEpoch(act) {
          for (;;) {
            if (lost.aborted) return null
            try {
              return await act({ queue: queue.name, partition: 0, epoch })
            } catch (error) {
              if (error instanceof ParkingFenced) epoch = kept.epoch
              else await new Promise((resolve) => setImmediate(resolve))
            }
          }
        },
      },
      lost,
      clock,
      random: systemRandom,
      log: pino({ level: 'silent' }),
    })
  }

  async function publishWith(fault: 'refused' | 'unknown' | undefined, records: readonly RecordToPublish[]) {
    if (fault === undefined) return broker.publish(records)
    if (fault === 'unknown') await broker.publish(records)
    throw new PublishError(
      'The log is unwell.',
      records.map((_, index) => ({ index, outcome: fault, cause: null })),
    )
  }
}

async function hear(broker: Broker, partition: number, fired: FiredTasks): Promise<void> {
  const listener = await broker.listen({ topic: TOPIC, partition, from: 'earliest' })
  for await (const records of listener) {
    for (const record of records) {
      fired.hear({ task: decodeTask(record, { queue: 'mail', budgetMs: 1, lanes: LANES }), partition })
    }
  }
}

function queueOf(schedule: Record<string, Entry>): QueueOptions {
  const { queues } = requireOptions({ queues: { mail: { schedule } } }, { hostname: 'h', folderOf: () => '/' })
  return queues.get('mail')!
}
