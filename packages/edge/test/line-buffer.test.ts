import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LineBuffer } from '../src/pino/line-buffer.ts'

test('lines that are cut anywhere come out whole and in order; what found no room is counted where it was', () => {
  const command = fc.oneof(
    fc.record({ kind: fc.constant('line' as const), length: fc.integer({ min: 0, max: 70 }) }),
    fc.record({ kind: fc.constant('take' as const), refused: fc.boolean() }),
  )
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), fc.integer({ min: 1, max: 40 }), (commands, cut) => {
      const buffer = new LineBuffer(200, 64)
      let written = 0
      let [out, dropped, refused] = [0, 0, 0]
      let last = -1
      const take = (isRefused: boolean) => {
        const batch = buffer.next()
        if (batch === null) return
        assert.equal(buffer.next(), batch)
        dropped += batch.dropped
        const serials = batch.bytes
          .toString()
          .split('\n')
          .slice(0, -1)
          .map((line) => Number(line.split(' ')[0]))
        assert.equal(serials.length, batch.lines)
        for (const serial of serials) {
          assert.ok(serial > last)
          last = serial
        }
        if (isRefused) {
          // Told as dropped with a later batch, with those that this one was to tell.
          dropped -= batch.dropped
          refused++
          buffer.refused()
        } else {
          out += batch.lines
          buffer.done()
        }
      }
      for (const one of commands) {
        if (one.kind === 'take') take(one.refused)
        else {
          const line = Buffer.from(`${written++} ${'x'.repeat(one.length)}\n`)
          for (let at = 0; at < line.length; at += cut) buffer.write(line.subarray(at, at + cut))
        }
      }
      assert.equal(buffer.untold, written - out - dropped)
      while (!buffer.isEmpty) take(false)
      assert.equal(out + dropped, written)
      assert.ok(refused >= 0)
    }),
    { numRuns: 1_000 },
  )
})

test('it holds no more than it may, and a line larger than that is dropped alone', () => {
  const buffer = new LineBuffer(100, 50)
  buffer.write(Buffer.from(`${'y'.repeat(60)}`))
  buffer.write(Buffer.from(`${'y'.repeat(60)}`))
  buffer.write(Buffer.from('yy\nshort\nunfinished'))
  buffer.end()
  assert.deepEqual(
    [buffer.next()!.bytes.toString(), buffer.next()!.dropped, buffer.next()!.lines],
    ['short\nunfinished\n', 1, 2],
  )
})
