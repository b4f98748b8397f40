import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encoded } from '../../protocol/test/encoded.ts'
import type { Consumer } from '../src/consumer.ts'
import { deadTopicOf } from '../src/event-log.ts'
import { DeadError } from '../src/handler-errors.ts'
import { headersOf, openRig, QUICK, until } from './event-rig.ts'
import { verified } from './some-events.ts'

const DEAD = deadTopicOf('accounts', 'mails')

/** An event of a key: fails so often, then is done, or given up; its handler takes so long. */
const events = fc.array(
  fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd'),
    failures: fc.integer({ min: 0, max: 2 }),
    end: fc.constantFrom('done', 'done', 'done', 'dead', 'exhausted', 'undecodable'),
    turns: fc.integer({ min: 0, max: 3 }),
  }),
  { minLength: 1, maxLength: 40 },
)
const restarts = fc.array(fc.record({ after: fc.integer({ min: 0, max: 20 }), graceMs: fc.constantFrom(0, 1_000) }), {
  maxLength: 2,
})

test('under any mix of failures, dead letters and restarts every event ends, and a key never runs out of its order', async () => {
  await fc.assert(
    fc.asyncProperty(events, restarts, fc.integer({ min: 1, max: 8 }), async (given, stops, concurrency) => {
      await using rig = await openRig()
      for (const [index, { key, end }] of given.entries()) {
        const id = `e-${index}`
        if (end !== 'undecodable') await rig.producer.publish(verified, { id, key, data: { userId: key } })
        else await rig.producer.publishEncoded('accounts', encoded({ id, key, bytes: Buffer.from('{}') }))
      }
      const running = new Map<string, string>()
      const failed = new Map<string, number>()
      const ended: string[] = []
      const overlaps: string[] = []
      let calls = 0
      const start = () =>
        rig.consume({
          concurrency,
          retry: { ...QUICK, attemptsMax: 4 },
          events: [verified],
          handlers: {
            user_account_verified: async ({ id, key }) => {
              calls++
              const other = running.get(key!)
              if (other !== undefined) overlaps.push(`${other} and ${id}`)
              running.set(key!, id)
              const { failures, end, turns } = given[Number(id.slice(2))]!
              for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
              running.delete(key!)
              const failedBefore = failed.get(id) ?? 0
              if (end === 'exhausted' || failedBefore < failures) {
                failed.set(id, failedBefore + 1)
                throw new Error('not yet')
              }
              if (end === 'dead') throw new DeadError('never')
              ended.push(id)
            },
          },
        })
      let consumer: Consumer = await start()
      for (const { after, graceMs } of stops) {
        const callsWanted = calls + after
        // Not all calls that are wanted come: some events end without any.
        await until(() => calls >= callsWanted, 20).catch(() => {})
        await consumer.stop({ graceMs })
        consumer = await start()
      }
      const wanted = (kind: 'done' | 'dead') =>
        given.flatMap(({ end }, index) => ((end === 'done') === (kind === 'done') ? [`e-${index}`] : []))
      while ((await rig.committed())[0] !== given.length) await new Promise((resolve) => setTimeout(resolve, 5))
      // Each letter is written at least once; only then does the position pass what it tells of.
      await consumer.stop()
      assert.deepEqual(await rig.committed(), [given.length])
      const [{ end: count } = { end: 0 }] = await rig.log.broker.inspect({ topics: [DEAD] })
      const letters = count === 0 ? [] : await rig.read(DEAD, count)
      const dead = new Set(letters.map((letter) => headersOf(letter).ce_id!))
      assert.deepEqual([...dead].toSorted(), wanted('dead').toSorted())
      assert.deepEqual([...new Set(ended)].toSorted(), wanted('done').toSorted())
      assert.deepEqual(overlaps, [], 'two of one key at once')
      for (const key of ['a', 'b', 'c', 'd']) {
        const ofKey = [...new Set(ended)].map((id) => Number(id.slice(2))).filter((index) => given[index]!.key === key)
        assert.deepEqual(
          ofKey,
          ofKey.toSorted((one, other) => one - other),
        )
      }
    }),
    { numRuns: 20 },
  )
})
