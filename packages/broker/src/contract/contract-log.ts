import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker, BrokerCapabilities, ConsumeRequest, RecordToPublish, Subscription, TopicSpec } from '../broker.ts'
import type { BrokerHarness, ConnectOptions } from './contract.ts'
import { DeliveryReader } from './readers.ts'

/** The log as one test sees it: its own topics and groups, and everything it opened ends with it. */
export class ContractLog {
  readonly harness: BrokerHarness
  readonly capabilities: BrokerCapabilities
  /** Reports the test as skipped, because the harness lacks something. */
  readonly skip: (reason: string) => void
  readonly #opened: Broker[] = []
  readonly #run = randomBytes(6).toString('hex')
  #names = 0

  constructor(harness: BrokerHarness, capabilities: BrokerCapabilities, skip: (reason: string) => void) {
    this.harness = harness
    this.capabilities = capabilities
    this.skip = skip
  }

  topic(partitions = 1): TopicSpec {
    return { name: `contract.${this.#run}.${++this.#names}`, partitions, retentionMs: 3_600_000 }
  }

  group(): string {
    return `contract-${this.#run}-${++this.#names}`
  }

  /** An opened broker; closed at the end of the test unless the test did. */
  async open(topics: readonly TopicSpec[], options: ConnectOptions = {}): Promise<Broker> {
    const broker = this.harness.connect({ commitIntervalMs: 50, ...options })
    this.#opened.push(broker)
    await broker.open({ topics })
    return broker
  }

  /** A second member's way to the log: another broker where several may share it, else the same one. */
  async openBeside(broker: Broker, topics: readonly TopicSpec[]): Promise<Broker> {
    return this.capabilities.shared ? this.open(topics) : broker
  }

  async close(): Promise<void> {
    for (const broker of this.#opened) await broker.close()
  }
}

export async function consume(broker: Broker, request: ConsumeRequest): Promise<ConsumedBy> {
  const subscription = await broker.consume(request)
  return { subscription, reader: new DeliveryReader(subscription) }
}

export interface ConsumedBy {
  readonly subscription: Subscription
  readonly reader: DeliveryReader
}

/** A record of partition 0 without a key, unless the test says otherwise. */
export function record(topic: TopicSpec, value: string, more: Partial<RecordToPublish> = {}): RecordToPublish {
  return { topic: topic.name, partition: 0, key: null, value: bytes(value), headers: [], ...more }
}

export function records(topic: TopicSpec, count: number, partition = 0, prefix = 'record'): RecordToPublish[] {
  return Array.from({ length: count }, (_, index) => record(topic, `${prefix}-${index}`, { partition }))
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function text(value: Uint8Array | null): string | null {
  return value === null ? null : new TextDecoder().decode(value)
}

/** Numbers from `from` up to, and without, `to`. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

/** For what only shows when asked again, such as a committed position. */
export async function eventually(what: string, holds: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`It did not come about within ${withinMs} ms that ${what}.`)
    await sleep(20)
  }
}
