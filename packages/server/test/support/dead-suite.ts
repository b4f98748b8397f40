import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  type Broker,
  type Clock,
  type LogRecord,
  PublishError,
  type RecordToPublish,
  systemClock,
} from '@forebay/broker'
import type { Choice } from '../../src/dead/choose.ts'
import { createDeadLetters, type DeadLetters } from '../../src/dead/dead-letters.ts'
import { type DeadLetter, deadRecord } from '../../src/dead/dead-record.ts'
import { discard } from '../../src/dead/discard.ts'
import { dryRun } from '../../src/dead/dry-run.ts'
import { historyOf, originalRecord } from '../../src/dead/letter.ts'
import { type RedriveParts, type RedriveProgress, type RedriveRequest, redrive } from '../../src/dead/redrive.ts'
import { readPartition } from '../../src/dead/scan.ts'
import type { QueueOptions } from '../../src/options.ts'
import { decodeReported, decodeTask, taskRecord } from '../../src/records.ts'
import { PLAIN_TASK, type TaskState } from '../../src/task.ts'
import { deadTopic, RESULTS_TOPIC } from '../../src/topics.ts'
import { queueOptions } from './doors-rig.ts'

const LANES = 2
const PARTITIONS = 3
const never = new AbortController().signal
/** Nothing is known of the tasks here, so their letters must not be young. */
const later: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() + 120_000 }
/** One for each test, so that none meets another's letters. */
const QUEUES = [
  'list',
  'filters',
  'redrive',
  'twice',
  'crash',
  'guards',
  'edit',
  'stop',
  'rate',
  'superseded',
  'otherwise',
  'foreign',
]

/** What holds of dead letters on every log. `open` gives a broker that is not open yet. */
export function deadLetterSuite(name: string, open: () => Promise<{ broker: Broker; close(): Promise<void> }>): void {
  const queues = new Map(
    QUEUES.map((queue) => [queue, queueOptions(queue, { partitions: PARTITIONS, deadlineMs: 60_000 })]),
  )
  let broker: Broker
  let close: () => Promise<void>
  let letters: DeadLetters
  let parts: RedriveParts
  before(async () => {
    ;({ broker, close } = await open())
    const topics = [...queues.values()].flatMap(({ topic }) => [topic, deadTopic(topic)])
    await broker.open({
      topics: [
        ...topics.map((topic) => ({ name: topic, partitions: PARTITIONS, retentionMs: 'forever' as const })),
        { name: RESULTS_TOPIC, partitions: LANES, retentionMs: 'forever' },
      ],
    })
    parts = { broker, clock: later, queues, lanes: LANES, knownLife: async () => null }
    letters = createDeadLetters(parts)
  })
  after(() => close())

  test(`${name}: an empty dead topic has no letters, and none can be found in it`, async () => {
    assert.deepEqual(await letters.list({ queue: 'list' }, 10, never), { letters: [], total: 0 })
    await assert.rejects(letters.find({ queue: 'list', partition: 0, offset: 0 }, never), {
      code: 'DEAD_LETTER_NOT_FOUND',
    })
  })

  test(`${name}: letters are listed newest first, over all partitions, with how many there are`, async () => {
    await die(
      'list',
      Array.from({ length: 50 }, (_, index) => ({ task: `t${index}`, key: `k${index}`, atMs: index })),
    )
    const { letters: listed, total } = await letters.list({ queue: 'list' }, 5, never)
    assert.deepEqual(
      listed.map((letter) => letter.taskId),
      ['t49', 't48', 't47', 't46', 't45'],
    )
    assert.equal(total, 50)
    const one = listed[0]!
    const found = await letters.find({ queue: 'list', partition: one.partition, offset: one.offset }, never)
    assert.equal(found.letter.taskId, 't49')
    assert.deepEqual(historyOf(found.letter), [{ ...ATTEMPT, number: 1 }])
    assert.equal(String(originalRecord(found.letter).value), 'body of t49')
    assert.deepEqual([found.state, found.verdicts], ['open', []])
  })

  test(`${name}: filters, states, audit and histogram agree with what was done`, async () => {
    const hour = 3_600_000
    await die('filters', [
      { task: 'a', key: 'x', atMs: 10 * hour, code: 'WORKER_LOST' },
      { task: 'b', key: 'x', atMs: 11 * hour },
      { task: 'c', key: null, atMs: 11 * hour + 5 },
      { task: 'd', key: 'y', atMs: 12 * hour },
    ])
    const ids = async (filter: object) =>
      (await letters.list({ queue: 'filters', ...filter }, 10, never)).letters.map((letter) => letter.taskId).sort()
    assert.deepEqual(await ids({ code: 'WORKER_LOST' }), ['a'])
    assert.deepEqual(await ids({ key: 'x' }), ['a', 'b'])
    assert.deepEqual(await ids({ task: 'c' }), ['c'])
    assert.deepEqual(await ids({ sinceMs: 11 * hour, untilMs: 12 * hour }), ['b', 'c'])
    const { hours, total, earlier } = await letters.histogram({ queue: 'filters', sinceMs: 11 * hour }, never)
    assert.deepEqual([...hours].map(([at, codes]) => [at / hour, Object.fromEntries(codes)]).sort(), [
      [11, { WORKER_FAILED: 2 }],
      [12, { WORKER_FAILED: 1 }],
    ])
    assert.deepEqual([total, earlier], [3, 1])

    const choice: Choice = { by: 'filter', filter: { queue: 'filters', key: 'x' }, limit: null }
    const dry = await dryRun(parts, choice, { force: false }, never)
    assert.deepEqual([dry.count, dry.oldestAtMs, dry.newestAtMs], [2, 10 * hour, 11 * hour])
    assert.deepEqual(Object.fromEntries(dry.histogram.get('filters')!), { WORKER_LOST: 1, WORKER_FAILED: 1 })
    for await (const _ of discard(parts, { choice, by: 'ann', reason: 'no use' }, never));
    await run({ choice: { by: 'filter', filter: { queue: 'filters', task: 'c' }, limit: null }, by: 'bob' })

    assert.deepEqual(await ids({}), ['d'])
    assert.deepEqual(await ids({ state: 'discarded' }), ['a', 'b'])
    assert.deepEqual(await ids({ state: 'redriven' }), ['c'])
    assert.deepEqual(await ids({ state: 'any' }), ['a', 'b', 'c', 'd'])
    const audit = await letters.audit({ queue: 'filters' }, 10, never)
    assert.deepEqual(audit.map(({ kind, taskId, by, reason }) => [kind, taskId, by, reason]).sort(), [
      ['discarded', 'a', 'ann', 'no use'],
      ['discarded', 'b', 'ann', 'no use'],
      ['redriven', 'c', 'bob', 'fixed'],
    ])
    assert.deepEqual(
      (await letters.audit({ queue: 'filters', by: 'bob' }, 10, never)).map((one) => one.taskId),
      ['c'],
    )
    assert.equal((await discardAgain(choice)).discarded, 0, 'what is closed is not closed again')
  })

  test(`${name}: a redrive publishes the task in its partition, the note on its lane and the verdict`, async () => {
    const [place] = await die('redrive', [{ task: 'r', key: 'k', atMs: 1 }])
    const before = Date.now()
    const progress = await run({ choice: { by: 'place', places: [place!] } })
    assert.deepEqual(progress, { redriven: 1, already: 0, refused: {} })
    const [task] = await readTopic(broker, queues.get('redrive')!.topic)
    assert.equal(task!.partition, 1)
    const decoded = decodeTask(task!, { queue: 'redrive', budgetMs: 1, lanes: LANES })
    assert.deepEqual([decoded.id, decoded.generation, decoded.attemptsBefore, decoded.key], ['r', 1, 0, 'k'])
    assert.ok(decoded.acceptedAtMs + decoded.budgetMs >= before + 60_000, 'the deadline lies in the future')
    const note = decodeReported((await reportsOf('r'))[0]!)
    assert.ok(note?.kind === 'note' && note.note.state === 'pending' && note.note.generation === 1)
    const { state, verdicts } = await letters.find(place!, never)
    assert.equal(state, 'redriven')
    assert.deepEqual([verdicts[0]!.by, verdicts[0]!.reason, verdicts[0]!.generation], ['op', 'fixed', 0])
  })

  test(`${name}: a second redrive finds nothing open, and two at once open the same generation`, async () => {
    const places = await die('twice', [{ task: 'one', key: 'k', atMs: 1 }])
    const choice: Choice = { by: 'place', places }
    await Promise.all([run({ choice }), run({ choice })])
    assert.equal((await run({ choice })).redriven, 0)
    const tasks = await readTopic(broker, queues.get('twice')!.topic)
    const seen = tasks.map((record) => decodeTask(record, { queue: 'twice', budgetMs: 1, lanes: LANES }))
    assert.ok(seen.length >= 1 && seen.length <= 2)
    for (const { id, generation } of seen) assert.deepEqual([id, generation], ['one', 1])
  })

  test(`${name}: a run that ends between its steps leaves the letter open, and the next does it again`, async () => {
    const choice: Choice = { by: 'filter', filter: { queue: 'crash' }, limit: null }
    await die('crash', [{ task: 'c', key: 'k', atMs: 1 }])
    for (const topic of [RESULTS_TOPIC, deadTopic(queues.get('crash')!.topic)]) {
      await assert.rejects(run({ choice }, { broker: refusing(broker, topic) }), { code: 'NOT_ACCEPTED' })
      assert.equal((await letters.list({ queue: 'crash' }, 10, never)).total, 1, `open after ${topic} failed`)
    }
    assert.equal((await run({ choice })).redriven, 1)
    assert.equal((await letters.list({ queue: 'crash' }, 10, never)).total, 0)
    for (const record of await readTopic(broker, queues.get('crash')!.topic)) {
      assert.equal(decodeTask(record, { queue: 'crash', budgetMs: 1, lanes: LANES }).generation, 1)
    }
  })

  test(`${name}: letters that keep dying, and those without a value, are refused; force redrives the former`, async () => {
    await die('guards', [
      { task: 'loop', key: 'k', atMs: 1, generation: 3 },
      { task: 'none', key: 'k', atMs: 2, value: null },
      { task: 'fine', key: 'k', atMs: 3, generation: 2 },
    ])
    const choice: Choice = { by: 'filter', filter: { queue: 'guards' }, limit: null }
    const dry = await dryRun(parts, choice, { force: false }, never)
    assert.deepEqual([dry.count, dry.refused], [1, { generations: 1, tombstone: 1 }])
    assert.deepEqual(await run({ choice }), { redriven: 1, already: 0, refused: { generations: 1, tombstone: 1 } })
    assert.deepEqual(await run({ choice, force: true }), { redriven: 1, already: 0, refused: { tombstone: 1 } })
  })

  test(`${name}: a letter can be redriven with another body, a tombstone too`, async () => {
    const places = await die('edit', [{ task: 'e', key: 'k', atMs: 1, value: null }])
    const edit = { payload: Buffer.from('{"a":1}'), contentType: 'application/json' }
    assert.equal((await run({ choice: { by: 'place', places }, edit })).redriven, 1)
    const [record] = await readTopic(broker, queues.get('edit')!.topic)
    const { payload, contentType, generation } = decodeTask(record!, { queue: 'edit', budgetMs: 1, lanes: LANES })
    assert.deepEqual([String(payload), contentType, generation], ['{"a":1}', 'application/json', 1])
    assert.equal((await letters.find(places[0]!, never)).verdicts[0]!.edited, true)
  })

  test(`${name}: a run can be stopped and goes on where it was`, async () => {
    await die(
      'stop',
      Array.from({ length: 60 }, (_, index) => ({ task: `s${index}`, key: 'k', atMs: index })),
    )
    const choice: Choice = { by: 'filter', filter: { queue: 'stop' }, limit: null }
    let first = 0
    for await (const { redriven } of redrive(parts, request({ choice, ratePerS: 200 }), never)) {
      first = redriven
      if (redriven >= 40) break
    }
    assert.equal(first, 40)
    const second = await run({ choice, ratePerS: 10_000 })
    assert.equal(second.redriven, 20)
    const tasks = await readTopic(broker, queues.get('stop')!.topic)
    const order = tasks.map((record) => decodeTask(record, { queue: 'stop', budgetMs: 1, lanes: LANES }).id)
    assert.deepEqual(
      order,
      Array.from({ length: 60 }, (_, index) => `s${index}`),
      'in the order of a key',
    )

    const aborted = new AbortController()
    aborted.abort()
    await assert.rejects(run({ choice }, {}, aborted.signal))
  })

  test(`${name}: 1,000 letters are redriven at the chosen rate`, async () => {
    await die(
      'rate',
      Array.from({ length: 1_000 }, (_, index) => ({ task: `x${index}`, key: `${index}`, atMs: index })),
    )
    const choice: Choice = { by: 'filter', filter: { queue: 'rate' }, limit: null }
    const beganMs = performance.now()
    assert.equal((await run({ choice, ratePerS: 500 })).redriven, 1_000)
    const tookMs = performance.now() - beganMs
    assert.ok(tookMs >= 1_850, `no faster than asked: ${tookMs}`)
    assert.equal((await readTopic(broker, queues.get('rate')!.topic)).length, 1_000)
    assert.equal((await letters.list({ queue: 'rate' }, 10, never)).total, 0)
  })

  test(`${name}: a letter whose next generation readers know of gets its verdict, and no second run`, async () => {
    await die('superseded', [{ task: 'twin', key: 'k', atMs: 1 }])
    const choice: Choice = { by: 'filter', filter: { queue: 'superseded' }, limit: null }
    const progress = await run({ choice }, { knownLife: async () => ({ generation: 1, state: 'pending' }) })
    assert.deepEqual(progress, { redriven: 0, already: 1, refused: {} })
    assert.deepEqual(await readTopic(broker, queues.get('superseded')!.topic), [])
    assert.equal((await letters.list({ queue: 'superseded' }, 10, never)).total, 0)
  })

  test(`${name}: a letter of a task that ended otherwise after all gets its verdict; one whose end is open waits`, async () => {
    await die('otherwise', [{ task: 'twin', key: 'k', atMs: 1 }])
    const choice: Choice = { by: 'filter', filter: { queue: 'otherwise' }, limit: null }
    const known = (state: TaskState) => ({ knownLife: async () => ({ generation: 0, state }) })
    assert.deepEqual(await run({ choice }, known('running')), { redriven: 0, already: 0, refused: { unfinished: 1 } })
    assert.equal((await letters.list({ queue: 'otherwise' }, 10, never)).total, 1)
    const rejects = async () => Promise.reject(new Error('The store does not answer.'))
    assert.deepEqual((await run({ choice }, { knownLife: rejects })).refused, { unfinished: 1 })
    assert.deepEqual(await run({ choice }, known('succeeded')), { redriven: 0, already: 1, refused: {} })
    assert.deepEqual(await readTopic(broker, queues.get('otherwise')!.topic), [])
    assert.equal((await letters.list({ queue: 'otherwise' }, 10, never)).total, 0)
  })

  test(`${name}: what is foreign in a dead topic is passed over`, async () => {
    const topic = deadTopic(queues.get('foreign')!.topic)
    const foreign = { topic, partition: 0, key: null, value: Buffer.from('?'), headers: [] }
    await broker.publish([foreign, { ...foreign, headers: [['fb-kind', Buffer.from('verdict')]] }])
    await die('foreign', [{ task: 'f', key: null, atMs: 1 }])
    assert.equal((await letters.list({ queue: 'foreign' }, 10, never)).total, 1)
    await assert.rejects(letters.find({ queue: 'foreign', partition: 0, offset: 0 }, never), {
      code: 'DEAD_LETTER_NOT_FOUND',
    })
  })

  /** Letters as the finisher writes them; their tasks come from partition 1. Resolves with their places. */
  async function die(queue: string, dying: readonly Dying[]) {
    const positions = await broker.publish(
      dying.map((one, index) => deadRecord(letterOf(queues.get(queue)!, one, index), 1_000_000)),
    )
    return positions.map(({ partition, offset }) => ({ queue, partition, offset }))
  }

  async function run(
    asked: Pick<RedriveRequest, 'choice'> & Partial<RedriveRequest>,
    other: Partial<RedriveParts> = {},
    signal = never,
  ): Promise<RedriveProgress> {
    let last: RedriveProgress | null = null
    for await (const progress of redrive({ ...parts, ...other }, request(asked), signal)) last = progress
    return last!
  }

  async function discardAgain(choice: Choice): Promise<{ readonly discarded: number }> {
    let last = { discarded: -1 }
    for await (const progress of discard(parts, { choice, by: 'ann', reason: '' }, never)) last = progress
    return last
  }

  async function reportsOf(taskId: string): Promise<LogRecord[]> {
    return (await readTopic(broker, RESULTS_TOPIC)).filter((record) => String(record.key) === taskId)
  }

  function readTopic(from: Broker, topic: string): Promise<LogRecord[]> {
    return readWhole(from, topic)
  }
}

interface Dying {
  readonly task: string
  readonly key: string | null
  readonly atMs: number
  readonly code?: 'WORKER_FAILED' | 'WORKER_LOST'
  readonly generation?: number
  readonly value?: null
}

const ATTEMPT = { number: 1, beganAtMs: 1, endedAtMs: 2, code: 'WORKER_FAILED', detail: 'boom', worker: 'w1' } as const

function letterOf(queue: QueueOptions, dying: Dying, index: number): DeadLetter {
  const { task, key, atMs, code = 'WORKER_FAILED', generation = 0 } = dying
  const record = taskRecord(
    {
      ...PLAIN_TASK,
      id: task,
      queue: queue.name,
      key,
      payload: Buffer.from(`body of ${task}`),
      contentType: 'text/plain',
      headers: [],
      owner: 'shop',
      lane: index % LANES,
      acceptedAtMs: 1_000,
      budgetMs: 5,
      generation,
    },
    queue.topic,
    1,
  )
  const value = dying.value === null ? null : record.value
  return {
    record: { ...record, value, partition: 1, offset: index, timestampMs: 0 },
    taskId: task,
    queue: queue.name,
    attempts: 1,
    state: 'dead',
    fault: { code, detail: 'boom' },
    atMs,
    generation,
    history: [ATTEMPT],
  }
}

function request(asked: Pick<RedriveRequest, 'choice'> & Partial<RedriveRequest>): RedriveRequest {
  return { ratePerS: 1_000, force: false, by: 'op', reason: 'fixed', edit: null, ...asked }
}

/** A log that takes nothing for one topic. */
function refusing(broker: Broker, topic: string): Broker {
  return {
    capabilities: broker.capabilities,
    open: (opening) => broker.open(opening),
    consume: (consuming) => broker.consume(consuming),
    listen: (listening) => broker.listen(listening),
    inspect: (inspecting) => broker.inspect(inspecting),
    close: () => broker.close(),
    async publish(records: readonly RecordToPublish[]) {
      if (records.every((record) => record.topic !== topic)) return broker.publish(records)
      const cause = new Error('the disk is full')
      throw new PublishError(
        'no',
        records.map((_, index) => ({ index, outcome: 'refused', cause })),
      )
    },
  }
}

/** Every record of a topic, partition after partition. */
export async function readWhole(broker: Broker, topic: string): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  for (const { partition, start, end } of await broker.inspect({ topics: [topic] })) {
    const place = { queue: queueOptions('any'), topic, partition, start, end }
    const parts = { broker, clock: systemClock, queues: new Map() }
    for await (const batch of readPartition(parts, place, never)) records.push(...batch)
  }
  return records
}
