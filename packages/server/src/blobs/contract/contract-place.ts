import { randomBytes, randomUUID } from 'node:crypto'
import { ManualClock } from '../../store/contract/manual-clock.ts'
import type { BlobRef } from '../../task.ts'
import type { BlobStore } from '../blob-store.ts'
import type { BlobContractOptions, BlobHarness } from './contract.ts'

export const KEEP_MS = 24 * 60 * 60 * 1000

/** Blobs of its own for one test. */
export class BlobPlace {
  readonly clock = new ManualClock()
  readonly name = `place-${randomUUID()}`
  readonly #harness: BlobHarness
  readonly #connected: BlobStore[] = []

  constructor(harness: BlobHarness) {
    this.#harness = harness
  }

  get options(): BlobContractOptions {
    return { clock: this.clock, keepMs: KEEP_MS }
  }

  connect(options: Partial<BlobContractOptions> = {}): BlobStore {
    const blobs = this.#harness.connect(this.name, { ...this.options, ...options })
    this.#connected.push(blobs)
    return blobs
  }

  async open(options: Partial<BlobContractOptions> = {}): Promise<BlobStore> {
    const blobs = this.connect(options)
    await blobs.open()
    return blobs
  }

  count(): Promise<number> {
    return this.#harness.count(this.name)
  }

  damage(ref: BlobRef): Promise<void> {
    return this.#harness.damage(this.name, ref)
  }

  async close(): Promise<void> {
    await Promise.all(this.#connected.map((blobs) => blobs.close()))
  }
}

export function chance(bytes: number): Uint8Array {
  return randomBytes(bytes)
}
