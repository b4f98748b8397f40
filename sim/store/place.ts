import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Handlers, Transferring } from '@forebay/broker/embedded'
import { ForebayError } from '@forebay/protocol'
import { embeddedStore } from '../../packages/server/src/store/embedded/embedded.ts'
import { storeAnswers } from '../../packages/server/src/store/embedded/store-answers.ts'
import type { OpenStore, StoreCalls, Write, Written } from '../../packages/server/src/store/embedded/store-calls.ts'
import type { Store, StoreCapabilities } from '../../packages/server/src/store/store.ts'
import type { Journal } from '../journal.ts'
import { type SimProcess, WALL_START_MS } from '../process.ts'
import type { Schedule } from '../schedule.ts'
import type { Weather } from '../weather.ts'
import { journalParking } from './journal-parking.ts'

export interface StorePlaceParts {
  readonly schedule: Schedule
  readonly weather: Weather
  readonly journal: Journal
  /** Stands for a server that all processes use; otherwise each gateway has a file of its own. */
  readonly shared: boolean
  readonly claimMs: number
}

const RETENTION_MS = 86_400_000
const CALL_TIMEOUT_MS = 2_500

/**
 * Durable state that outlives the processes: real files with the real tables and queries of the embedded store, on a
 * disk in memory, behind a road on which calls and answers get lost. It has its own clock.
 */
export class StorePlace {
  readonly #parts: StorePlaceParts
  readonly #dir = mkdtempSync(join(memoryDisk(), 'forebay-sim-'))
  readonly #files = new Map<string, Handlers<StoreCalls>>()

  constructor(parts: StorePlaceParts) {
    this.#parts = parts
  }

  /** `name`: whose file, where each has its own. */
  connect(process: SimProcess, name: string): Store {
    const { shared, claimMs } = this.#parts
    const file = shared ? 'shared' : name
    const options = {
      dir: file,
      clock: process.clock,
      retentionMs: RETENTION_MS,
      claimMs,
      sweepIntervalMs: 600_000,
    }
    const store = embeddedStore(options, () => ({
      call: (call, argument) => this.#call(process, file, call, argument),
      terminate: () => Promise.resolve(),
    }))
    return shared ? asShared(store) : store
  }

  close(): void {
    for (const file of this.#files.values()) file.close(undefined)
    rmSync(this.#dir, { recursive: true, force: true })
  }

  #call<Name extends keyof StoreCalls & string>(
    process: SimProcess,
    file: string,
    name: Name,
    argument: StoreCalls[Name]['argument'],
  ): Promise<StoreCalls[Name]['result']> {
    const { weather } = this.#parts
    const latency = { thereMs: weather.latencyMs(), backMs: weather.latencyMs(), ordered: false }
    return process.call<StoreCalls[Name]['result']>(`store ${file}`, latency, (answer) => {
      const fate = weather.store()
      if (fate === 'refused') return answer.error(unavailable())
      if (fate === 'request-lost') return answer.error(unavailable(), CALL_TIMEOUT_MS)
      try {
        const result = this.#serve(process.name, file, name, argument)
        if (fate === 'done') answer.ok(result)
        else answer.error(unavailable(), CALL_TIMEOUT_MS)
      } catch (error) {
        answer.error(error)
      }
    })
  }

  #serve<Name extends keyof StoreCalls & string>(
    by: string,
    file: string,
    name: Name,
    argument: StoreCalls[Name]['argument'],
  ): StoreCalls[Name]['result'] {
    const isOpen = this.#files.has(file)
    // A server stays open whoever comes and goes. A file is opened anew by each life of its process, and counts them.
    if (this.#parts.shared && (name === 'close' || (name === 'open' && isOpen))) return undefined
    if (name === 'open') this.#open(file)
    const answers = this.#files.get(file)!
    const given = name === 'open' ? { ...(argument as OpenStore), path: join(this.#dir, `${file}.db`) } : argument
    const returned = answers[name](this.#parts.shared ? this.#atOwnTime(given) : given)
    const result = returned instanceof Transferring ? returned.result : returned
    if (name === 'write') journalParking(this.#parts.journal, by, argument as Write, result as Written)
    return result
  }

  #open(file: string): void {
    this.#files.get(file)?.close(undefined)
    this.#files.set(file, storeAnswers())
  }

  /** A server goes by its own clock, not by that of whoever asks. */
  #atOwnTime<Argument>(argument: Argument): Argument {
    if (typeof argument !== 'object' || argument === null || !('nowMs' in argument)) return argument
    const { nowMs } = this.#parts.schedule
    return { ...argument, nowMs: Math.floor(WALL_START_MS + nowMs), monotonicMs: nowMs }
  }
}

function unavailable(): ForebayError {
  return new ForebayError('STORE_UNAVAILABLE', 'The store does not answer.')
}

const SHARED: StoreCapabilities = { name: 'postgres', shared: true, cannot: [] }

function asShared(store: Store): Store {
  return new Proxy(store, {
    get(target, name) {
      if (name === 'capabilities') return SHARED
      const value = Reflect.get(target, name) as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Thousands of runs would wear a disk out, and wait for it. */
function memoryDisk(): string {
  return statSync('/dev/shm', { throwIfNoEntry: false })?.isDirectory() ? '/dev/shm' : tmpdir()
}
