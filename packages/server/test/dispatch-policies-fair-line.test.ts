import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { AGED_EVERY, FairLine } from '../src/dispatch/fair-line.ts'

interface Item {
  readonly number: number
  readonly priority: number
  readonly flow: string
}

const NO_WEIGHTS = new Map<string, number>()
const flowName: fc.Arbitrary<string> = fc.constantFrom('', 'a', 'b', 'c', 'd')

type Act = { readonly push: Omit<Item, 'number'> } | 'shift' | { readonly takeOdd: true }

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ push: fc.record({ priority: fc.integer({ min: 0, max: 9 }), flow: flowName }) }),
  },
  { weight: 5, arbitrary: fc.constant<Act>('shift') },
  { weight: 1, arbitrary: fc.constant<Act>({ takeOdd: true }) },
)
const weights = fc
  .dictionary(flowName, fc.integer({ min: 1, max: 5 }))
  .map((given): ReadonlyMap<string, number> => new Map(Object.entries(given)))

test('nothing is lost or doubled, and each flow of a priority comes out in the order it went in', () => {
  fc.assert(
    fc.property(weights, fc.array(act, { maxLength: 400 }), (given, acts) => {
      const line = new FairLine<Item>(given)
      let waiting: Item[] = []
      let number = 0
      for (const one of [...acts, ...acts.map((): Act => 'shift')]) {
        if (one === 'shift') {
          const item = line.shift()
          assert.equal(item === undefined, waiting.length === 0)
          if (item !== undefined) {
            const first = waiting.find((other) => other.priority === item.priority && other.flow === item.flow)
            assert.equal(item, first, 'first in, first out')
            waiting = waiting.filter((other) => other !== item)
          }
        } else if ('push' in one) {
          const item = { ...one.push, number: number++ }
          line.push(item, item.priority, item.flow)
          waiting.push(item)
        } else {
          const isOdd = (item: Item) => item.number % 2 === 1
          const taken = line.takeWhere(isOdd)
          assert.deepEqual(
            taken.map((item) => item.number).sort((a, b) => a - b),
            waiting.filter(isOdd).map((item) => item.number),
          )
          for (const [index, item] of taken.entries()) {
            const later = taken.slice(index + 1).filter((o) => o.priority === item.priority && o.flow === item.flow)
            assert.ok(
              later.every((other) => other.number > item.number),
              'each flow in its order',
            )
          }
          waiting = waiting.filter((item) => !isOdd(item))
        }
        assert.equal(line.length, waiting.length)
      }
    }),
    { numRuns: 300 },
  )
})

test('flows that always have something waiting take turns by weight: no two are more than one turn apart', () => {
  fc.assert(
    fc.property(weights, fc.uniqueArray(flowName, { minLength: 2 }), fc.nat(300), (given, flows, handOvers) => {
      const line = new FairLine<string>(given)
      for (const flow of flows) for (let i = 0; i < 400; i++) line.push(flow, 4, flow)
      const served = new Map(flows.map((flow) => [flow, 0]))
      for (let i = 0; i < handOvers; i++) {
        const flow = line.shift()!
        served.set(flow, served.get(flow)! + 1)
        const turns = flows.map((one) => served.get(one)! / (given.get(one) ?? 1))
        assert.ok(Math.max(...turns) - Math.min(...turns) <= 1, `${[...served]} by ${[...given]}`)
      }
    }),
  )
})

test('a flow that comes back gains nothing by having been away', () => {
  const line = new FairLine<string>(NO_WEIGHTS)
  for (let i = 0; i < 10; i++) line.push('busy', 4, 'busy')
  line.push('guest', 4, 'guest')
  const seen: string[] = []
  for (let i = 0; i < 8; i++) {
    const flow = line.shift()!
    seen.push(flow)
    if (flow === 'guest') line.push('guest', 4, 'guest')
  }
  assert.deepEqual(seen, ['busy', 'guest', 'busy', 'guest', 'busy', 'guest', 'busy', 'guest'])
})

test('the highest priority goes first, but for one hand-over in sixteen', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ priority: fc.integer({ min: 0, max: 9 }), flow: flowName }), { maxLength: 300 }),
      (pushed) => {
        const line = new FairLine<Item>(NO_WEIGHTS)
        const waiting: Item[] = []
        for (const [number, one] of pushed.entries()) {
          const item = { ...one, number }
          line.push(item, item.priority, item.flow)
          waiting.push(item)
        }
        let outOfTurn = 0
        for (let handOvers = 1; waiting.length > 0; handOvers++) {
          const item = line.shift()!
          if (waiting.some((other) => other.priority > item.priority)) outOfTurn++
          assert.ok(outOfTurn <= handOvers / AGED_EVERY)
          waiting.splice(waiting.indexOf(item), 1)
        }
      },
    ),
  )
})

test('work of a low priority comes through under an endless stream of urgent work', () => {
  const line = new FairLine<string>(NO_WEIGHTS)
  for (const priority of [0, 1, 5]) line.push(`low ${priority}`, priority, '')
  const seen: string[] = []
  for (let i = 0; i < AGED_EVERY * 3; i++) {
    line.push('urgent', 9, '')
    seen.push(line.shift()!)
  }
  assert.deepEqual(seen.filter((one) => one !== 'urgent').sort(), ['low 0', 'low 1', 'low 5'])
})

test('one hand-over in sixteen goes to the priority that has waited longest, whichever that is', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 8 }), { minLength: 1 }), (low) => {
      const line = new FairLine<number>(NO_WEIGHTS)
      for (const priority of [...low, 9]) for (let i = 0; i < 1_000; i++) line.push(priority, priority, '')
      const served = new Map<number, number>()
      for (let i = 0; i < AGED_EVERY * low.length * 3; i++) {
        const priority = line.shift()!
        served.set(priority, (served.get(priority) ?? 0) + 1)
      }
      for (const priority of low) assert.equal(served.get(priority), 3)
    }),
  )
})

test('flows that came and went leave nothing behind', () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const line = new FairLine<number>(NO_WEIGHTS)
  collect()
  const beforeBytes = process.memoryUsage().heapUsed
  for (let i = 0; i < 100_000; i++) {
    line.push(i, 4, `flow ${i}`)
    line.push(i, 4, `other ${i}`)
    line.shift()
    line.shift()
  }
  collect()
  const grownBytes = process.memoryUsage().heapUsed - beforeBytes
  assert.equal(line.length, 0)
  assert.ok(grownBytes < 2_000_000, `200,000 flows left ${grownBytes} bytes`)
})
