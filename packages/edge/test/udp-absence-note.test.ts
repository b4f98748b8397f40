import assert from 'node:assert/strict'
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Clock } from '@forebay/broker'
import fc from 'fast-check'
import { droppedRecord, type Loss } from '../src/dropped.ts'
import { Spool } from '../src/spool/spool.ts'
import { Absence } from '../src/syslog/absence.ts'
import { NoteFile } from '../src/syslog/note-file.ts'
import { clock, temporaryFolder } from './edge-rig.ts'

const T = Date.parse('2026-11-21T12:00:00.000Z')
const SECOND = 1_000
/** What the absence allows a sender. */
const LATE_MS = 250
const WORKER = ['127.0.0.1', 40_001] as const
const OTHER = ['127.0.0.1', 40_002] as const

/** Wall and even time in one; the test moves it. */
class Hands implements Clock {
  ms = T
  readonly wallMs = () => this.ms
  readonly monotonicMs = () => this.ms
  readonly timer = clock.timer
  readonly sleep = clock.sleep

  after(ms: number): number {
    this.ms += ms
    return this.ms
  }
}

function runAt(hands: Hands, note: string | null, epoch: string): Absence {
  const found = note === null ? ({ state: 'none' } as const) : ({ state: 'found', text: note } as const)
  return new Absence(found, { source: 'web-1:udp', epoch, boundMs: hands.ms }, hands)
}

const iso = (ms: number) => new Date(ms).toISOString()
const stretchOf = ({ epoch, first, end, from, until }: Loss) => [epoch, first, end, from, until]

test('what a killed run had not noted is told by the next, and again with the same bytes until it is noted', () => {
  const hands = new Hands()
  const one = runAt(hands, null, 'e1')
  hands.ms += SECOND
  one.received(hands.ms)
  const note = one.note(700)
  assert.deepEqual(one.untold, [])
  hands.ms += SECOND
  const two = runAt(hands, note, 'e2')
  const ofTwo = two.note(0)
  const expected = ['e1', 700, null, iso(T + SECOND - LATE_MS), iso(T + 2 * SECOND)]
  assert.deepEqual(two.untold.map(stretchOf), [expected])
  const bytes = droppedRecord('t', two.untold[0]!, hands.ms)
  // Killed here: whether its row is in the spool nobody knows.
  hands.ms += SECOND
  const three = runAt(hands, ofTwo, 'e3')
  const begunAgain = ['e2', 0, null, iso(T + 2 * SECOND - LATE_MS), iso(T + 3 * SECOND)]
  assert.deepEqual(three.untold.map(stretchOf), [expected, begunAgain])
  assert.deepEqual(droppedRecord('t', three.untold[0]!, hands.ms), bytes)
  three.told()
  assert.deepEqual(runAt(hands, three.note(0), 'e4').untold.map(stretchOf).length, 1)
})

test('whoever was there before may have lost its first line, whenever it speaks, over however many starts', () => {
  const hands = new Hands()
  const one = runAt(hands, null, 'e1')
  one.heard(...WORKER)
  one.heard(...OTHER)
  const boundMs = hands.after(SECOND)
  const two = runAt(hands, one.note(0), 'e2')
  two.told()
  two.heard(...OTHER)
  hands.ms += SECOND
  const ofTwo = two.note(10)
  assert.deepEqual(two.untold.map(stretchOf), [['e2', 10, 10, iso(boundMs), iso(boundMs)]])
  two.told()
  hands.ms += 3_600 * SECOND
  const three = runAt(hands, ofTwo, 'e3')
  three.told()
  const spokeMs = hands.after(3_600 * SECOND)
  three.heard(...WORKER)
  three.heard(...WORKER)
  three.note(20)
  assert.deepEqual(three.untold.map(stretchOf), [['e3', 20, 20, iso(boundMs), iso(spokeMs)]])
  three.told()
  three.heard(...WORKER)
  three.note(30)
  assert.deepEqual(three.untold, [])
})

test('a newcomer is told of within a minute, or in the place of one that is waited for', () => {
  const hands = new Hands()
  const first = runAt(hands, null, 'e1')
  first.heard(...WORKER)
  first.note(0)
  assert.deepEqual(first.untold, [], 'before the first start of all nothing was promised')
  const boundMs = hands.after(SECOND)
  const run = runAt(hands, first.note(0), 'e2')
  run.told()
  const toldOf = () => {
    run.note(0)
    const told = run.untold.map(({ from, until }) => [from, until])
    run.told()
    return told
  }
  hands.ms += SECOND
  run.heard('10.0.0.9', 1)
  assert.deepEqual(toldOf(), [[iso(boundMs), iso(boundMs + SECOND)]])
  hands.ms += 120 * SECOND
  run.heard('10.0.0.9', 2)
  assert.deepEqual(toldOf(), [])
  run.heard(WORKER[0], 50_000)
  assert.deepEqual(toldOf(), [[iso(boundMs), iso(hands.ms)]])
  run.heard(WORKER[0], 50_001)
  assert.deepEqual(toldOf(), [])
  run.heard(...WORKER)
  assert.deepEqual(toldOf(), [[iso(boundMs), iso(hands.ms)]])
})

test('a clock that was set back, and a note that nobody can read, make rows with what is known', () => {
  const hands = new Hands()
  const note = runAt(hands, null, 'e1').note(5)
  hands.ms -= 60 * SECOND
  const [back] = runAt(hands, note, 'e2').untold as [Loss]
  assert.deepEqual([back.from, back.until], [iso(hands.ms - LATE_MS), iso(T)])
  const run = { source: 'web-1:udp', epoch: 'e3', boundMs: hands.ms }
  const [unknown] = new Absence({ state: 'damaged' }, run, hands).untold as [Loss]
  assert.deepEqual([unknown.from, unknown.until], [null, iso(hands.ms)])
  const { value } = droppedRecord('t', unknown, 0)
  assert.match(Buffer.from(value).toString(), /"from":null,"until":"2026-11-21T11:59:00.000Z"}$/)
})

test('however many senders and untold rows there are, the note stays small', () => {
  const hands = new Hands()
  let note = runAt(hands, null, 'e0').note(0)
  for (let run = 1; run < 80; run++) {
    hands.ms += SECOND
    const absence = runAt(hands, note, `e${run}`)
    for (let sender = 0; sender < 300; sender++) absence.heard('127.0.0.1', run * 300 + sender)
    note = absence.note(0)
  }
  assert.ok(note.length < 40_000, `${note.length} characters`)
  const untold = runAt(hands, note, 'last').untold
  assert.equal(untold.at(-1)!.until, iso(hands.ms))
  assert.equal(untold[0]!.from, iso(T - LATE_MS))
})

test('wherever one of the two files is cut or damaged, the newest sound text is found', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ maxLength: 60 }), { minLength: 1 }),
      fc.nat(),
      fc.boolean(),
      async (texts, at, isCut) => {
        using folder = temporaryFolder()
        const path = join(folder.path, 'note')
        const lines = texts.map((text) => JSON.stringify(text))
        const { file, found } = await NoteFile.open(path)
        assert.deepEqual(found, { state: 'none' })
        for (const line of lines) await file.write(line)
        await file.close()
        const newest = `${path}.${lines.length % 2}`
        const place = at % statSync(newest).size
        if (isCut) truncateSync(newest, place)
        else {
          const content = readFileSync(newest)
          content[place]! ^= 1
          writeFileSync(newest, content)
        }
        const again = await NoteFile.open(path)
        await again.file.close()
        if (again.found.state === 'found') {
          // What lies behind the end of a line is of longer ones before it.
          assert.ok(lines.slice(-2).includes(again.found.text))
        } else assert.equal(lines.length, 1)
      },
    ),
    { numRuns: 50 },
  )
})

test('where the spool gives way, the rows that go with it are told with their times', async () => {
  using folder = temporaryFolder()
  const losses: Loss[] = []
  const given = {
    bytesMax: 8_000,
    segmentBytes: 1_000,
    whenFull: 'drop-oldest',
    topic: 'rows',
    source: 'c:spool',
  } as const
  const spool = await Spool.open({ ...given, dir: folder.path, clock, onDropped: (loss) => losses.push(loss) })
  const place = { reason: 'not-running', source: 'web-1:udp', epoch: 'e1', first: 3, lines: null } as const
  const told: Loss[] = [
    { ...place, end: null, from: iso(T), until: iso(T + SECOND) },
    { ...place, end: 3, from: iso(T + SECOND), until: iso(T + 2 * SECOND) },
    { ...place, end: 3, from: iso(T + SECOND), until: iso(T + 3 * SECOND) },
  ]
  for (const loss of told) await spool.append('rows', [droppedRecord('rows', loss, T)], true)
  const filler = { topic: 'rows', key: null, value: Buffer.alloc(400, '.'), headers: [] }
  for (let at = 0; at < 100; at++) await spool.append('rows', [filler], true)
  const rows: Loss[] = []
  for (let taken = await spool.take(1_000); taken !== null; taken = await spool.take(1_000)) {
    for (const { value } of taken.records) {
      if (value.length !== 400) rows.push(JSON.parse(Buffer.from(value).toString()) as Loss)
    }
  }
  await spool.close()
  assert.deepEqual(rows.map(({ from, until }) => [from, until]).sort(), [
    [iso(T), iso(T + SECOND)],
    [iso(T + SECOND), iso(T + 3 * SECOND)],
  ])
})
