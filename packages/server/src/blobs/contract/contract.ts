import { after, describe } from 'node:test'
import type { Clock } from '@forebay/broker'
import type { BlobRef } from '../../task.ts'
import type { BlobStore } from '../blob-store.ts'
import { contentTests } from './content-tests.ts'
import { BlobPlace } from './contract-place.ts'
import { crashTests } from './crash-tests.ts'
import { lifecycleTests } from './lifecycle-tests.ts'
import { pinTests } from './pin-tests.ts'
import { sweepTests } from './sweep-tests.ts'

/** What an adapter gives the suite: its store, for real. */
export interface BlobHarness {
  /** A new store, not opened yet; the same `place` means the same blobs. */
  connect(place: string, options: BlobContractOptions): BlobStore
  /** Everything that lies there, whatever it is. */
  count(place: string): Promise<number>
  /** Changes a byte in every copy. */
  damage(place: string, ref: BlobRef): Promise<void>
  /** Lets child processes reach the same places. */
  readonly child: BlobChildModule
  /** After the last test. */
  close(): Promise<void>
}

export interface BlobContractOptions {
  readonly keepMs: number
  readonly clock: Clock
}

/** A module that exports `connect(argument: string, place: string, options: BlobContractOptions): BlobStore`. */
export interface BlobChildModule {
  /** A file URL. */
  readonly url: string
  readonly argument: string
}

/** The promises of the port `BlobStore`, to be kept by every adapter. Call it in a test file of the adapter's own. */
export function blobContract(name: string, makeHarness: () => Promise<BlobHarness>): void {
  describe(`blob contract: ${name}`, async () => {
    const harness = await makeHarness()
    const places: BlobPlace[] = []
    const place = () => {
      const made = new BlobPlace(harness)
      places.push(made)
      return made
    }
    after(async () => {
      await Promise.all(places.map((one) => one.close()))
      await harness.close()
    })

    describe('content', () => contentTests(place))
    describe('sweeps', () => sweepTests(place))
    describe('pins', () => pinTests(place))
    describe('crashes', () => crashTests(place, harness))
    describe('opening and closing', () => lifecycleTests(place))
  })
}
