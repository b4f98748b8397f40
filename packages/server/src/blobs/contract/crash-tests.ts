import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@forebay/broker'
import { parseBlobRef } from '../../records.ts'
import type { BlobHarness } from './contract.ts'
import { type BlobPlace, KEEP_MS } from './contract-place.ts'

const KILLS = 3
const ACKNOWLEDGED = 12

export function crashTests(place: () => BlobPlace, harness: BlobHarness): void {
  test('what was acknowledged survives a kill, and what a kill leaves half-written is no blob and goes', async () => {
    const here = place()
    const refs: string[] = []
    for (let kill = 0; kill < KILLS; kill++) refs.push(...(await putUntilKilled(harness, here.name, kill)))
    const blobs = await here.open({ clock: systemClock })
    for (const written of refs) {
      const ref = parseBlobRef(written)!
      assert.equal((await blobs.get(ref)).length, ref.bytes)
    }
    const aheadMs = 2 * KEEP_MS
    const clock = { ...systemClock, wallMs: () => systemClock.wallMs() + aheadMs }
    const later = await here.open({ clock })
    await later.sweep()
    assert.equal(await here.count(), 0)
  })
}

async function putUntilKilled(harness: BlobHarness, place: string, seed: number): Promise<string[]> {
  const script = fileURLToPath(new URL('./crash-child.ts', import.meta.url))
  const { url, argument } = harness.child
  const child = spawn(process.execPath, [script, url, argument, place, String(seed)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = once(child, 'exit')
  const acknowledged: string[] = []
  for await (const line of createInterface(child.stdout)) {
    acknowledged.push(line)
    if (acknowledged.length === ACKNOWLEDGED) child.kill('SIGKILL')
  }
  const [, signal] = await gone
  assert.equal(signal, 'SIGKILL')
  return acknowledged
}
