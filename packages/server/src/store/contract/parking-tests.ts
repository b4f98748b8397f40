import { describe } from 'node:test'
import type { StoreHarness } from './contract.ts'
import type { ContractPlace } from './contract-place.ts'
import { parkingCrashTests } from './parking-crash-tests.ts'
import { parkingHistoryTests } from './parking-history-tests.ts'
import { parkingLineTests } from './parking-line-tests.ts'
import { parkingOperatorTests } from './parking-operator-tests.ts'
import { parkingOwnerTests } from './parking-owner-tests.ts'
import { parkingRowTests } from './parking-row-tests.ts'
import { parkingTimeTests } from './parking-time-tests.ts'
import { parkedRebuildTests } from './position-tests.ts'
import { parkedRetentionTests } from './retention-tests.ts'

/** The promises of the port `Parking`. */
export function parkingTests(place: () => ContractPlace, harness: StoreHarness): void {
  describe('owners and epochs', () => parkingOwnerTests(place))
  describe('rows', () => parkingRowTests(place))
  describe('waking', () => parkingTimeTests(place))
  describe('lines', () => parkingLineTests(place))
  describe('operators and schedules', () => parkingOperatorTests(place))
  describe('histories', () => parkingHistoryTests(place))
  describe('retention', () => parkedRetentionTests(place))
  describe('rebuilding', () => parkedRebuildTests(place))
  describe('crashes', () => parkingCrashTests(place, harness))
}
