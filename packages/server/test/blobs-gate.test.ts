import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BytesGate } from '../src/blobs/bytes-gate.ts'

const NEVER = new AbortController().signal

test('bytes inside never exceed the bound but for one that is larger alone, and all come in, in order', async () => {
  const plan = fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 150 }), frees: fc.nat(3) }), { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(plan, async (steps) => {
      const gate = new BytesGate(100, 1_000)
      const inside: { bytes: number; free: () => void }[] = []
      const order: number[] = []
      const check = () => {
        const bytes = inside.reduce((sum, one) => sum + one.bytes, 0)
        assert.equal(gate.bytes, bytes)
        // Beside one that is larger than the bound, only empty ones fit.
        assert.ok(bytes <= 100 || inside.filter((one) => one.bytes > 0).length === 1)
      }
      for (const [index, { bytes, frees }] of steps.entries()) {
        void gate.enter(bytes, NEVER).then((free) => {
          order.push(index)
          inside.push({ bytes, free })
        })
        await settled()
        check()
        for (let count = 0; count < frees; count++) {
          const leaving = inside.shift()
          leaving?.free()
          leaving?.free()
          await settled()
          check()
        }
      }
      while (inside.length > 0) {
        inside.shift()!.free()
        await settled()
        check()
      }
      assert.equal(gate.waiting, 0)
      assert.deepEqual(
        order,
        steps.map((_, index) => index),
      )
    }),
  )
})

test('who gives up in line lets the next one pass, and a line that is full refuses', async () => {
  const gate = new BytesGate(10, 2)
  const free = await gate.enter(10, NEVER)
  const leaves = new AbortController()
  const first = gate.enter(10, leaves.signal)
  const second = gate.enter(1, NEVER)
  await assert.rejects(gate.enter(1, NEVER), { code: 'OVERLOADED' })
  leaves.abort(new Error('gone'))
  await assert.rejects(first, /gone/)
  free()
  const freeSecond = await second
  assert.equal(gate.bytes, 1)
  freeSecond()
  await assert.rejects(gate.enter(1, leaves.signal), /gone/)
  assert.equal(gate.bytes, 0)
})

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
