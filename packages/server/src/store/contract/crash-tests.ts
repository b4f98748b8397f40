import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { StoreHarness } from './contract.ts'
import { answer, CLAIM_MS, type ContractPlace, TOPIC } from './contract-place.ts'

export function crashTests(place: () => ContractPlace, harness: StoreHarness): void {
  test('after kill -9 at any moment the position and the results agree, and nothing acknowledged is gone', async () => {
    const at = place()
    for (let round = 0; round < 4; round++) {
      const acknowledged = await killChild(at, harness)
      const store = await at.open()
      const next = (await store.positions(TOPIC)).get(0) ?? 0
      assert.ok(next >= acknowledged, `position ${next}, acknowledged ${acknowledged}`)
      const last = Array.from({ length: 20 }, (_, n) => next - 1 - n).filter((offset) => offset >= 0)
      for (const offset of last) assert.equal(await answer(store, `t${offset}`), `${offset}`)
      assert.equal(await store.get(`t${next}`), null)
      await store.close()
    }
  })

  test('after kill -9 a claim that was acknowledged resumes with its task', async () => {
    const at = place()
    const acknowledged = await killChild(at, harness)
    const store = await at.open()
    // Where others may be alive, nobody can tell that a claim's own process is not.
    if (store.capabilities.shared) at.clock.advance(CLAIM_MS)
    const first = { principal: 'anna', route: 'orders', key: 'k0', fingerprint: 'f', windowMs: 60_000, taskId: 'new' }
    assert.deepEqual(await store.reserve(first), { kind: 'resume', taskId: 't0' })
    const last = { ...first, key: `k${acknowledged - 2}` }
    assert.deepEqual(await store.reserve(last), { kind: 'resume', taskId: `t${acknowledged - 2}` })
    await store.close()
  })
}

/** Has a child process work in the place, kills it, and returns the position that it saw acknowledged last. */
export async function killChild(at: ContractPlace, { child }: StoreHarness): Promise<number> {
  const program = fileURLToPath(new URL('./crash-child.ts', import.meta.url))
  const running = spawn(
    process.execPath,
    [program, child.url, child.argument, at.name, JSON.stringify({ ...at.options, clock: undefined })],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const lines = createInterface({ input: running.stdout })
  let acknowledged = 0
  lines.on('line', (line) => {
    acknowledged = Number(line)
  })
  const closed = once(lines, 'close')
  // Two steps, so that the first and the last are not the same one.
  for (let steps = 0; steps < 2; steps++) await Promise.race([once(lines, 'line'), closed])
  assert.ok(acknowledged > 2, 'the child ended before it had applied anything')
  await sleep(Math.random() * 80)
  running.kill('SIGKILL')
  await closed
  return acknowledged
}
