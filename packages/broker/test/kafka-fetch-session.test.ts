import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type FetchPlan, FetchSession } from '../src/kafka/fetch-session.ts'

const topic = 'orders'

/** Offsets by partition. */
function wanted(offsets: Readonly<Record<string, number>>) {
  return new Map(
    Object.entries(offsets).map(([partition, offset]) => [
      `${partition} ${topic}`,
      { reader: { topic, partition: Number(partition), offset } },
    ]),
  )
}

function inShort({ epoch, sessionId, places, forgotten }: FetchPlan) {
  return {
    at: [sessionId, epoch],
    places: Object.fromEntries(places.map(({ partition, offset }) => [partition, offset])),
    forgotten: forgotten.map(({ partition }) => partition),
  }
}

test('the first fetch names everything, later ones only what is wanted otherwise', () => {
  const session = new FetchSession()
  const first = session.plan(wanted({ 0: 5, 1: 5, 2: 5 }))
  assert.deepEqual(inShort(first), { at: [0, 0], places: { 0: 5, 1: 5, 2: 5 }, forgotten: [] })
  session.answered(first, 77)
  const second = session.plan(wanted({ 0: 5, 1: 8, 3: 1 }))
  assert.deepEqual(inShort(second), { at: [77, 1], places: { 1: 8, 3: 1 }, forgotten: [2] })
  session.answered(second, 77)
  const third = session.plan(wanted({ 0: 5, 1: 8, 2: 5, 3: 1 }))
  assert.deepEqual(inShort(third), { at: [77, 2], places: { 2: 5 }, forgotten: [] })
})

test('after a fetch without an answer the next names everything, and the session that Kafka is to drop', () => {
  const session = new FetchSession()
  session.answered(session.plan(wanted({ 0: 5, 1: 5 })), 77)
  session.plan(wanted({ 0: 6, 1: 5 }))
  const again = session.plan(wanted({ 0: 6, 1: 5 }))
  assert.deepEqual(inShort(again), { at: [77, 0], places: { 0: 6, 1: 5 }, forgotten: [] })
  session.answered(again, 78)
  assert.deepEqual(inShort(session.plan(wanted({ 0: 6, 1: 5 }))), { at: [78, 1], places: {}, forgotten: [] })
})

test('a lost session begins with everything', () => {
  const session = new FetchSession()
  session.answered(session.plan(wanted({ 0: 5, 1: 5 })), 77)
  session.lost()
  assert.deepEqual(inShort(session.plan(wanted({ 0: 5 }))), { at: [77, 0], places: { 0: 5 }, forgotten: [] })
})

test('without a session from Kafka every fetch names everything', () => {
  const session = new FetchSession()
  for (const offset of [1, 1, 2]) {
    const plan = session.plan(wanted({ 0: offset, 1: 9 }))
    assert.deepEqual(inShort(plan), { at: [0, 0], places: { 0: offset, 1: 9 }, forgotten: [] })
    session.answered(plan, 0)
  }
})

test('a session that Kafka ends in its answer, or answers as another, is not gone on with', () => {
  for (const answer of [0, 78]) {
    const session = new FetchSession()
    session.answered(session.plan(wanted({ 0: 5 })), 77)
    session.answered(session.plan(wanted({ 0: 6 })), answer)
    assert.deepEqual(inShort(session.plan(wanted({ 0: 6 }))), { at: [answer, 0], places: { 0: 6 }, forgotten: [] })
  }
})

const offsets = fc.dictionary(fc.constantFrom('0', '1', '2', '3', '4'), fc.integer({ min: 0, max: 2 }), {
  minKeys: 1,
  noNullPrototype: true,
})
const rounds = fc.array(fc.tuple(offsets, fc.constantFrom('answer', 'answer', 'answer', 'lose', 'limit', 'restart')))

test('whatever is wanted and lost in between, Kafka reads exactly what is wanted, or refuses once', () => {
  fc.assert(
    fc.property(rounds, (steps) => {
      const kafka = new Sessions()
      const session = new FetchSession()
      let refusals = 0
      for (const [want, fate] of steps) {
        if (fate === 'restart') kafka.restart()
        kafka.limited = fate === 'limit'
        const plan = session.plan(wanted(want))
        const answer = kafka.fetch(plan)
        refusals = answer === null ? refusals + 1 : 0
        assert.ok(refusals <= 1, 'a full fetch is never refused')
        if (answer === null) continue
        assert.deepEqual(answer.reads, want)
        if (fate !== 'lose') session.answered(plan, answer.sessionId)
      }
    }),
  )
})

/** What Kafka keeps of one client's sessions, as KIP-227 has it. */
class Sessions {
  limited = false
  #last = 100
  readonly #open = new Map<number, { epoch: number; reads: Record<string, number> }>()

  restart(): void {
    this.#open.clear()
  }

  fetch({ sessionId, epoch, places, forgotten }: FetchPlan) {
    if (epoch === 0) {
      this.#open.delete(sessionId)
      const reads = Object.fromEntries(places.map(({ partition, offset }) => [partition, offset]))
      if (this.limited) return { sessionId: 0, reads }
      this.#open.set(++this.#last, { epoch: 0, reads })
      return { sessionId: this.#last, reads }
    }
    const open = this.#open.get(sessionId)
    if (open === undefined || epoch !== open.epoch + 1) return null
    open.epoch = epoch
    for (const { partition, offset } of places) open.reads[partition] = offset
    for (const { partition } of forgotten) delete open.reads[partition]
    return { sessionId, reads: open.reads }
  }
}
