import { randomUUID } from 'node:crypto'
import type { EndState, Note, Output, Result } from '../../task.ts'
import type { RecordedEntry, Store } from '../store.ts'
import type { StoreContractOptions, StoreHarness } from './contract.ts'
import { ManualClock } from './manual-clock.ts'

export const TOPIC = 'results'
export const RETENTION_MS = 60_000
export const CLAIM_MS = 30_000

/** A state of its own for one test, opened one store at a time. */
export class ContractPlace {
  readonly clock = new ManualClock()
  readonly name = `place-${randomUUID()}`
  readonly #harness: StoreHarness
  readonly #connected: Store[] = []

  constructor(harness: StoreHarness) {
    this.#harness = harness
  }

  get options(): StoreContractOptions {
    return {
      clock: this.clock,
      retentionMs: RETENTION_MS,
      notesRetentionMs: 2 * RETENTION_MS,
      claimMs: CLAIM_MS,
      sweepIntervalMs: 1,
    }
  }

  connect(): Store {
    const store = this.#harness.connect(this.name, this.options)
    this.#connected.push(store)
    return store
  }

  async open(): Promise<Store> {
    const store = this.connect()
    await store.open()
    return store
  }

  /** Closes what a test that failed left open. */
  async close(): Promise<void> {
    await Promise.all(this.#connected.map((store) => store.close()))
  }
}

export function succeeded(taskId: string, body: string, finishedAtMs = 1_000): Result {
  const end = { state: 'succeeded' as const, payload: Buffer.from(body), contentType: 'text/plain' }
  return { taskId, queue: 'orders', owner: 'anna', attempts: 1, generation: 0, finishedAtMs, end }
}

export function ended(taskId: string, state: Exclude<EndState, 'succeeded'>, detail: string): Result {
  const end = { state, fault: { code: 'WORKER_FAILED' as const, detail } }
  return { taskId, queue: 'orders', owner: 'anna', attempts: 3, generation: 0, finishedAtMs: 1_000, end }
}

export function note(taskId: string, state: Note['state'], attempts: number, atMs = 1_000): Note {
  const fault = state === 'retrying' ? { code: 'WORKER_FAILED' as const, detail: `attempt ${attempts} failed` } : null
  return { taskId, queue: 'orders', owner: 'anna', state, attempts, generation: 0, atMs, fault }
}

/** What may be read from a lane. */
export type Fact = Result | Note | Output

/** Entries at the offsets from `first` on. */
export function entries(first: number, ...facts: readonly Fact[]): readonly RecordedEntry[] {
  return facts.map((fact, index) => {
    const offset = first + index
    if ('end' in fact) return { kind: 'result', offset, result: fact }
    if ('run' in fact) return { kind: 'output', offset, output: fact }
    return { kind: 'note', offset, note: fact }
  })
}

/** Applies to partition 0 from `first` on. */
export async function apply(store: Store, first: number, ...facts: readonly Fact[]): Promise<number> {
  const batch = {
    topic: TOPIC,
    partition: 0,
    from: null,
    next: first + facts.length,
    entries: entries(first, ...facts),
  }
  const report = await store.apply(batch)
  if (report.kind !== 'applied') throw new Error(`The store stands at ${report.position} already.`)
  return report.duplicates
}

/** The answer a reader would get, or its state. */
export async function answer(store: Store, taskId: string): Promise<string | null> {
  const task = await store.get(taskId)
  if (task === null) return null
  const { status } = task
  return status.state === 'succeeded' ? Buffer.from(status.payload).toString() : status.state
}
