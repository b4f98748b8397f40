import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { callThread, type ThreadCaller } from '@forebay/broker/embedded'
import { ForebayError } from '@forebay/protocol'
import type { Callbacks } from '../callbacks.ts'
import type { Outputs } from '../outputs.ts'
import type { Parking } from '../parking.ts'
import type {
  ApplyReport,
  Claim,
  HeldClaim,
  RecordedBatch,
  Reservation,
  Settlement,
  Store,
  StoreCapabilities,
  StoredTask,
} from '../store.ts'
import { EmbeddedCallbacks } from './embedded-callbacks.ts'
import { EmbeddedOutputs } from './embedded-outputs.ts'
import { EmbeddedParking } from './embedded-parking.ts'
import { type EmbeddedStoreOptions, type ResolvedEmbeddedStore, resolveEmbeddedStore } from './options.ts'
import { ReadLine } from './read-line.ts'
import type { StoreCalls } from './store-calls.ts'
import { StoreClock } from './store-clock.ts'
import { Sweeper } from './sweeper.ts'
import { WriteLine } from './write-line.ts'

/**
 * Durable state inside this process: one SQLite file, `<dir>/store.db`, in a thread of its own. What a call has
 * resolved for survives a kill and a power loss of this machine; all writes that wait share one flush.
 *
 * A claim that nobody has settled or renewed for `claimMs` may be resumed by another request; one of an earlier run of the
 * process at once.
 */
export function embeddedStore(options: EmbeddedStoreOptions, start: StartThread = startThread): Store {
  return new EmbeddedStore(resolveEmbeddedStore(options), start)
}

/** Starts whoever owns the file; another one in place of the thread lets a simulation decide what becomes of each call. */
export type StartThread = () => ThreadCaller<StoreCalls>

function startThread(): ThreadCaller<StoreCalls> {
  return callThread(new Worker(new URL('./store-thread.ts', import.meta.url), { name: 'forebay-store' }))
}

class EmbeddedStore implements Store {
  readonly capabilities: StoreCapabilities = { name: 'embedded', shared: false, cannot: [] }
  readonly outputs: Outputs
  readonly callbacks: Callbacks
  readonly parking: Parking
  readonly #options: ResolvedEmbeddedStore
  readonly #start: StartThread
  #phase: 'new' | 'opening' | 'open' | 'closed' = 'new'
  #running: RunningStore | null = null
  #closing: Promise<void> | null = null

  constructor(options: ResolvedEmbeddedStore, start: StartThread) {
    this.#options = options
    this.parking = new EmbeddedParking(() => this.#opened())
    this.outputs = new EmbeddedOutputs(() => this.#opened())
    this.callbacks = new EmbeddedCallbacks(() => this.#opened())
    this.#start = start
  }

  async open(): Promise<void> {
    if (this.#phase !== 'new') throw new ForebayError('CLOSED', 'open: this store was opened before; make a new one.')
    this.#phase = 'opening'
    const { dir, claimMs, clock } = this.#options
    const thread = this.#start()
    try {
      await thread.call('open', { path: join(dir, 'store.db'), claimMs })
    } catch (error) {
      this.#phase = 'closed'
      await thread.terminate()
      throw error
    }
    const storeClock = new StoreClock(clock)
    this.#running = {
      thread,
      clock: storeClock,
      writes: new WriteLine(thread, storeClock),
      reads: new ReadLine(thread),
      sweeper: new Sweeper(thread, storeClock, this.#options),
    }
    this.#phase = 'open'
  }

  async positions(topic: string): Promise<ReadonlyMap<number, number>> {
    return this.#opened().thread.call('positions', topic)
  }

  async apply(batch: RecordedBatch): Promise<ApplyReport> {
    return this.#opened().writes.apply(batch)
  }

  async get(taskId: string): Promise<StoredTask | null> {
    return this.#opened().reads.get(taskId)
  }

  async rebuild(topic: string): Promise<void> {
    await this.#opened().thread.call('rebuild', topic)
  }

  async reserve(claim: Claim): Promise<Reservation> {
    return this.#opened().writes.reserve(claim)
  }

  async confirm(claim: HeldClaim): Promise<Settlement> {
    return this.#opened().writes.settle('confirm', claim)
  }

  async release(claim: HeldClaim): Promise<Settlement> {
    return this.#opened().writes.settle('release', claim)
  }

  async doubt(claim: HeldClaim): Promise<void> {
    await this.#opened().writes.mark('doubt', claim)
  }

  async renew(claim: HeldClaim): Promise<void> {
    await this.#opened().writes.mark('renew', claim)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#phase = 'closed'
    if (this.#running === null) return
    const { thread, writes, reads, sweeper } = this.#running
    await sweeper.stop()
    await Promise.all([writes.idle(), reads.idle()])
    await thread.call('close', undefined).catch(() => {})
    await thread.terminate()
  }

  #opened(): RunningStore {
    if (this.#phase !== 'open' || this.#running === null) {
      throw new ForebayError('CLOSED', `The store is ${this.#phase === 'closed' ? 'closed' : 'not open yet'}.`)
    }
    return this.#running
  }
}

export interface RunningStore {
  readonly thread: ThreadCaller<StoreCalls>
  readonly clock: StoreClock
  readonly writes: WriteLine
  readonly reads: ReadLine
  readonly sweeper: Sweeper
}
