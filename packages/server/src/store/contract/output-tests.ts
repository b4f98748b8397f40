import { describe } from 'node:test'
import type { StoreHarness } from './contract.ts'
import type { ContractPlace } from './contract-place.ts'
import { outputCrashTests } from './output-crash-tests.ts'
import { outputGenerationTests } from './output-generation-tests.ts'
import { outputHistoryTests } from './output-history-tests.ts'
import { outputPositionTests } from './output-position-tests.ts'
import { outputRetentionTests } from './output-retention-tests.ts'
import { outputRunTests } from './output-run-tests.ts'

/** The promises of the port `Outputs`. */
export function outputTests(place: () => ContractPlace, harness: StoreHarness): void {
  describe('runs', () => outputRunTests(place))
  describe('results and generations', () => outputGenerationTests(place))
  describe('positions', () => outputPositionTests(place))
  describe('histories', () => outputHistoryTests(place))
  describe('retention', { skip: harness.skipRetention ?? false }, () => outputRetentionTests(place))
  describe('crashes', () => outputCrashTests(place, harness))
}
