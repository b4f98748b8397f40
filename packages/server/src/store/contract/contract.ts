import { after, describe } from 'node:test'
import type { Clock } from '@forebay/broker'
import type { Store } from '../store.ts'
import { callbackTests } from './callback-tests.ts'
import { ContractPlace } from './contract-place.ts'
import { crashTests } from './crash-tests.ts'
import { generationTests } from './generation-tests.ts'
import { lifecycleTests } from './lifecycle-tests.ts'
import { outputTests } from './output-tests.ts'
import { parkingTests } from './parking-tests.ts'
import { positionTests } from './position-tests.ts'
import { reservationTests } from './reservation-tests.ts'
import { resultTests } from './result-tests.ts'
import { retentionTests } from './retention-tests.ts'

/** What an adapter gives the suite: its store, for real. */
export interface StoreHarness {
  /**
   * A new Store, not opened yet; the same `place` means the same state. Where `capabilities.shared` is false the suite
   * closes one before it opens the next.
   */
  connect(place: string, options: StoreContractOptions): Store
  /** Lets child processes reach the same places. */
  readonly child: StoreChildModule
  /** Why the suite cannot move the time by which rows expire; they have tests of their own then. */
  readonly skipRetention?: string
  /** After the last test. */
  close(): Promise<void>
}

export interface StoreContractOptions {
  readonly clock: Clock
  readonly retentionMs: number
  readonly notesRetentionMs: number
  /** How long a claim counts as being appended. */
  readonly claimMs: number
  readonly sweepIntervalMs: number
}

/** A module that exports `connect(argument: string, place: string, options: StoreContractOptions): Store`. */
export interface StoreChildModule {
  /** A file URL. */
  readonly url: string
  readonly argument: string
}

/** The promises of the port `Store`, to be kept by every adapter. Call it in a test file of the adapter's own. */
export function storeContract(name: string, makeHarness: () => StoreHarness): void {
  describe(`store contract: ${name}`, () => {
    const harness = makeHarness()
    const places: ContractPlace[] = []
    const place = () => {
      const made = new ContractPlace(harness)
      places.push(made)
      return made
    }
    after(async () => {
      await Promise.all(places.map((one) => one.close()))
      await harness.close()
    })

    describe('results and notes', () => resultTests(place))
    describe('generations', () => generationTests(place))
    describe('positions', () => positionTests(place))
    describe('reservations', () => reservationTests(place))
    describe('retention', { skip: harness.skipRetention ?? false }, () => retentionTests(place))
    describe('crashes', () => crashTests(place, harness))
    describe('outputs', { skip: without('outputs', harness, place().options) }, () => outputTests(place, harness))
    describe('callbacks', { skip: without('callbacks', harness, place().options) }, () => callbackTests(place, harness))
    describe('parking', { skip: without('parking', harness, place().options) }, () => parkingTests(place, harness))
    describe('opening and closing', () => lifecycleTests(place))
  })
}

/** The reason, where the adapter does not keep what the part promises. */
function without(
  part: 'parking' | 'outputs' | 'callbacks',
  harness: StoreHarness,
  options: StoreContractOptions,
): string | false {
  const { [part]: kept, capabilities } = harness.connect('never-opened', options)
  return kept === null && `${capabilities.name} keeps no ${part}: ${capabilities.cannot.join(' ')}`
}
