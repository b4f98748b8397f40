import { describe } from 'node:test'
import { callbackConclusionTests } from './callback-conclusion-tests.ts'
import { callbackCrashTests } from './callback-crash-tests.ts'
import { callbackDueTests } from './callback-due-tests.ts'
import { callbackHistoryTests } from './callback-history-tests.ts'
import { callbackLeaseTests } from './callback-lease-tests.ts'
import { callbackOperatorTests } from './callback-operator-tests.ts'
import { callbackRegisterTests } from './callback-register-tests.ts'
import { callbackRetentionTests } from './callback-retention-tests.ts'
import type { StoreHarness } from './contract.ts'
import type { ContractPlace } from './contract-place.ts'

/** The promises of the port `Callbacks`. */
export function callbackTests(place: () => ContractPlace, harness: StoreHarness): void {
  describe('registering', () => callbackRegisterTests(place))
  describe('falling due', () => callbackDueTests(place))
  describe('leases', () => callbackLeaseTests(place))
  describe('conclusions', () => callbackConclusionTests(place))
  describe('operators', () => callbackOperatorTests(place))
  describe('histories', () => callbackHistoryTests(place))
  describe('retention', { skip: harness.skipRetention ?? false }, () => callbackRetentionTests(place))
  describe('crashes', () => callbackCrashTests(place, harness))
}
