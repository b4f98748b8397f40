import assert from 'node:assert/strict'
import { test } from 'node:test'
import { childTraceparent } from '../src/trace-context.ts'
import { openRig, until } from './event-rig.ts'
import { verified } from './some-events.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = `00-${TRACE}-00f067aa0ba902b7-01`
const WELL_FORMED = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

test('a handler goes on with the trace of its event, in a span of its own', async () => {
  await using rig = await openRig()
  const traces: string[] = []
  await rig.consume({
    events: [verified],
    handlers: { user_account_verified: ({ traceparent }) => traces.push(childTraceparent(traceparent)) },
  })
  await rig.producer.publish(verified, { data: { userId: 'u' }, traceparent: PARENT })
  await until(() => traces.length === 1)
  assert.match(traces[0]!, WELL_FORMED)
  assert.match(traces[0]!, new RegExp(`^00-${TRACE}-.*-01$`))
  assert.notEqual(traces[0], PARENT)
  assert.notEqual(childTraceparent(PARENT), childTraceparent(PARENT))
})

test('without a trace, or with one that is none, a new one begins that nobody has asked to sample', () => {
  const none = [null, '', 'x', PARENT.replace('00-', 'ff-'), PARENT.replace(TRACE, '0'.repeat(32)), PARENT.slice(0, -1)]
  for (const parent of none) {
    const child = childTraceparent(parent)
    assert.match(child, WELL_FORMED)
    assert.match(child, /-00$/)
    assert.ok(!child.includes(TRACE))
  }
  // Later versions may have more fields.
  assert.match(childTraceparent(`01-${TRACE}-00f067aa0ba902b7-01-more`), new RegExp(`^00-${TRACE}-`))
  let turns = 0
  const random = { unit: () => 0, fill: (bytes: Uint8Array) => void bytes.fill(turns++ % 2) }
  assert.match(childTraceparent(null, random), /^00-(01){16}-(01){8}-00$/)
})
