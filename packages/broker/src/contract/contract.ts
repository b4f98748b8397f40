import { after, before, describe, test } from 'node:test'
import type { Broker, BrokerCapabilities, RecordHeader } from '../broker.ts'
import { consumeTests } from './consume-tests.ts'
import { ContractLog } from './contract-log.ts'
import { crashTests } from './crash-tests.ts'
import { groupTests } from './group-tests.ts'
import { lifecycleTests } from './lifecycle-tests.ts'
import { listenTests } from './listen-tests.ts'
import { placeTests } from './place-tests.ts'
import { publishTests } from './publish-tests.ts'
import { windowTests } from './window-tests.ts'

/** What an adapter gives the suite: its log, for real. */
export interface BrokerHarness {
  /**
   * A new Broker, not opened yet, on the same log every time. Where `capabilities.shared` is false the suite closes
   * one before it opens the next.
   */
  connect(options: ConnectOptions): Broker
  /** Lets child processes reach the same log. Left out: the tests that kill one are skipped. */
  readonly child?: ChildModule
  /** Writes a record as some other producer may. Left out: the log can only be written through the port. */
  writeForeign?(record: ForeignRecord): Promise<void>
  /** Makes the log unreachable and reachable again. Left out: it lives and dies with this process. */
  readonly outage?: { stopLog(): Promise<void>; startLog(): Promise<void> }
  /** After the last test. */
  close(): Promise<void>
}

export interface ConnectOptions {
  readonly publishTimeoutMs?: number
  readonly commitIntervalMs?: number
}

/** A module that exports `connect(argument: string, options: ConnectOptions): Broker`. */
export interface ChildModule {
  /** A file URL. */
  readonly url: string
  readonly argument: string
}

export interface ForeignRecord {
  readonly topic: string
  readonly partition: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly RecordHeader[]
}

export interface BrokerContractOptions {
  /** Called once, before the first test. */
  open(): Promise<BrokerHarness>
  /** What this adapter's `connect` will say; which tests apply is decided by it before the log is opened. */
  readonly capabilities: BrokerCapabilities
  /** Name of a test and why this adapter cannot pass it. */
  readonly skip?: Readonly<Record<string, string>>
}

/** One sentence of the contract. */
export interface ContractTest {
  readonly name: string
  /** Why it does not apply to this adapter, or null. */
  readonly unless?: (capabilities: BrokerCapabilities) => string | null
  /** Returns the reason when the harness lacks what the test needs. */
  run(log: ContractLog): Promise<void>
}

const TEST_TIMEOUT_MS = 120_000

const tests: readonly ContractTest[] = [
  ...publishTests,
  ...consumeTests,
  ...groupTests,
  ...windowTests,
  ...listenTests,
  ...placeTests,
  ...lifecycleTests,
  ...crashTests,
]

/** Registers the suite with node:test. Topics and groups are new for each test, so a log may be used again and again. */
export function brokerContract(name: string, options: BrokerContractOptions): void {
  const skip = options.skip ?? {}
  const unknown = Object.keys(skip).find((one) => tests.every((other) => other.name !== one))
  if (unknown !== undefined) throw new Error(`brokerContract '${name}': skip names no test of the suite: '${unknown}'`)

  describe(`broker contract: ${name}`, () => {
    let harness: BrokerHarness
    before(async () => {
      harness = await options.open()
    })
    after(() => harness?.close())

    for (const one of tests) {
      const reason = skip[one.name] ?? one.unless?.(options.capabilities) ?? null
      if (reason !== null) {
        test(one.name, { skip: reason }, () => {})
        continue
      }
      test(one.name, { timeout: TEST_TIMEOUT_MS }, async (context) => {
        const log = new ContractLog(harness, options.capabilities, (lacking) => context.skip(lacking))
        try {
          await one.run(log)
        } finally {
          await log.close()
        }
      })
    }
  })
}
