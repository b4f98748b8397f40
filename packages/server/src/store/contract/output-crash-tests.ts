import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreHarness } from './contract.ts'
import { type ContractPlace, TOPIC } from './contract-place.ts'
import { CHILD_STREAM, CHILD_STREAM_PARTITION } from './crash-child-output.ts'
import { killChild } from './crash-tests.ts'
import { openOutputs } from './output-place.ts'

export function outputCrashTests(place: () => ContractPlace, harness: StoreHarness): void {
  test('after kill -9 at any moment the position and what was said agree', async () => {
    const at = place()
    let lastNext = 0
    for (let round = 0; round < 3; round++) {
      await killChild(at, harness)
      const { store, outputs } = await openOutputs(at)
      const next = (await store.positions(TOPIC)).get(CHILD_STREAM_PARTITION) ?? 0
      assert.ok(next > lastNext, `the stream stands at ${next}, as before the child`)
      const offsets: number[] = []
      for (let more = true; more; ) {
        const kept = (await outputs.read({ taskId: CHILD_STREAM, after: offsets.at(-1) ?? -1, bytesMax: 10_000 }))!
        assert.equal(kept.head.chunks, next)
        offsets.push(...kept.outputs.map((one) => one.offset))
        more = kept.more
      }
      assert.deepEqual(
        offsets,
        Array.from({ length: next }, (_, n) => n),
      )
      lastNext = next
      await store.close()
    }
  })
}
