import type { Broker } from '@forebay/broker'
import type fc from 'fast-check'
import type { Recorder } from '../../src/finish/recorder.ts'
import { createReplies, type RunningReplies } from '../../src/reply/log-replies.ts'
import { ManualClock } from '../../src/store/contract/manual-clock.ts'
import type { KeptOutput, KeptOutputs } from '../../src/store/outputs.ts'
import type { RecordedEntry, Store, StoredTask } from '../../src/store/store.ts'
import { countsAfter, type Note, type OpenState, type Output, type Result } from '../../src/task.ts'
import { RESULTS_TOPIC } from '../../src/topics.ts'
import { quietTelemetry } from './results-rig.ts'

export const PROGRESS = { kind: 'progress', fraction: 0.5, message: 'half' } as const
/** What all entries are about. */
const ABOUT = { taskId: 't', queue: 'orders', owner: 'anna' }

export function chunk(generation: number, attempts: number, run: string, n: number, bytes = 0): Output {
  const payload = Buffer.from(`${run} ${n}`.padStart(bytes, '.'))
  const content = { kind: 'chunk' as const, payload, contentType: 'text/plain' }
  return { ...ABOUT, generation, attempts: attempts + 1, run, first: n === 1, chunks: n, atMs: 0, content }
}

export function note(offset: number, state: OpenState, attempts: number, generation = 0): RecordedEntry {
  return { kind: 'note', offset, note: { ...ABOUT, state, attempts, generation, atMs: offset, fault: null } }
}

export function resultEntry(offset: number, generation: number): RecordedEntry {
  const fault = { code: 'WORKER_FAILED' as const, detail: `result ${offset}` }
  const end = { state: 'dead' as const, fault }
  return { kind: 'result', offset, result: { ...ABOUT, attempts: 1, generation, finishedAtMs: offset, end } }
}

interface WorldGateway {
  readonly replies: RunningReplies
  watching(): Promise<number>
}

/** Two gateways on one store, and the log that both read. */
export class World {
  readonly gateways: readonly [WorldGateway, WorldGateway]
  broken = false
  pages = 0
  /** Between the look at the task and that at its outputs. */
  beforePage: () => Promise<void> = async () => {}
  readonly #scheduler: fc.Scheduler | null
  readonly #log: readonly RecordedEntry[]
  #published = 0
  /** What the store has. */
  #applied = 0
  readonly #steps: ((until: number) => Promise<void>)[] = []
  /** Recorders that wait for the log to grow. */
  readonly #idle: (() => void)[] = []

  /** Without a scheduler everything happens at once. */
  constructor(scheduler: fc.Scheduler | null, log: readonly RecordedEntry[]) {
    this.#scheduler = scheduler
    this.#log = log
    this.gateways = [this.#gateway('one'), this.#gateway('two')]
  }

  /** Publishes the log, or its beginning; both recorders read as far. */
  async run(until = this.#log.length): Promise<void> {
    const publish = async () => {
      while (this.#published < until) {
        await this.#at('append')
        this.#published++
        for (const wake of this.#idle.splice(0)) wake()
      }
    }
    await Promise.all([publish(), ...this.#steps.map((step) => step(until))])
  }

  #at(moment: string): Promise<void> {
    return this.#scheduler?.schedule(Promise.resolve(), moment) ?? Promise.resolve()
  }

  #gateway(instance: string): WorldGateway {
    const telemetry = quietTelemetry()
    let told = 0
    let barriers: { readonly offset: number; readonly done: (reached: boolean) => void }[] = []
    const recorder = {
      onHeard: () => {},
      onStored: () => {},
      startedAt: () => 0,
      appliedTo: (_: number, offset: number) =>
        new Promise<boolean>((done) => {
          if (told >= offset) done(true)
          else barriers.push({ offset, done })
        }),
    } as Partial<Recorder> as Recorder
    this.#steps.push(async (until) => {
      while (told < until) {
        if (told === this.#published) await new Promise<void>((wake) => this.#idle.push(wake))
        await this.#at(`${instance} reads`)
        const next = this.#published
        await this.#at(`${instance} applies`)
        this.#applied = Math.max(this.#applied, next)
        await this.#at(`${instance} knows`)
        const entries = this.#log.slice(told, next)
        told = next
        for (const { offset, done } of barriers) if (offset <= told) done(true)
        barriers = barriers.filter(({ offset }) => offset > told)
        for (const entry of entries) recorder.onStored(entry)
      }
    })
    const inspect = async () => {
      await this.#at(`${instance} asks for the end`)
      return [{ topic: RESULTS_TOPIC, partition: 0, start: 0, end: this.#published, committed: null }]
    }
    const replies = createReplies({
      broker: { inspect } as Partial<Broker> as Broker,
      store: this.#store(instance),
      recorder,
      lanes: 1,
      instance,
      waitersMax: 10,
      watchersMax: 10,
      clock: new ManualClock(),
      telemetry,
    })
    return { replies, watching: async () => (await telemetry.metrics.watchers.get()).values[0]?.value ?? 0 }
  }

  #store(instance: string): Store {
    const asked = async <T>(what: string, answer: () => T): Promise<T> => {
      await this.#at(`${instance} asks for ${what}`)
      if (this.broken) throw new Error('out of reach')
      const found = answer()
      await this.#at(`${instance} is told ${what}`)
      return found
    }
    return {
      get: () => asked('the task', () => storedAt(this.#log.slice(0, this.#applied))),
      outputs: {
        read: async ({ after, bytesMax }) => {
          await this.beforePage()
          return asked('outputs', () => {
            this.pages++
            return keptAt(this.#log.slice(0, this.#applied), after, bytesMax)
          })
        },
      },
    } as Partial<Store> as Store
  }
}

function factsOf(log: readonly RecordedEntry[]): { readonly generation: number; readonly fact: Result | Note } | null {
  let known: Result | Note | null = null
  for (const entry of log) {
    if (entry.kind === 'output') continue
    const fact: Result | Note = entry.kind === 'note' ? entry.note : entry.result
    const isNews = known === null || fact.generation > known.generation
    if (isNews || (fact.generation === known!.generation && !('end' in known!))) known = fact
  }
  return known === null ? null : { generation: known.generation, fact: known }
}

function storedAt(log: readonly RecordedEntry[]): StoredTask | null {
  const known = factsOf(log)
  if (known === null) return null
  const { fact } = known
  if ('end' in fact) return { ...fact, status: { ...fact.end, finishedAtMs: fact.finishedAtMs } }
  return { ...fact, status: { state: fact.state, atMs: fact.atMs, fault: null } }
}

/** As the port promises: progress in one place, runs that replace each other, nothing after the end of a generation. */
function keptAt(log: readonly RecordedEntry[], after: number, bytesMax: number): KeptOutputs | null {
  let kept: { generation: number; attempts: number; head: KeptOutputs['head']; beganAt: number } | null = null
  let outputs: KeptOutput[] = []
  const known = factsOf(log)
  for (const [index, entry] of log.entries()) {
    if (entry.kind !== 'output') continue
    const { output, offset } = entry
    const before = factsOf(log.slice(0, index))
    const isLate = before !== null && 'end' in before.fact && before.generation === output.generation
    if (isLate || (before !== null && before.generation > output.generation)) continue
    if (kept !== null && output.generation < kept.generation) continue
    const { generation, attempts, run, chunks, atMs, content } = output
    const goesOn: KeptOutputs['head'] | null = kept !== null && kept.generation === generation ? kept.head : null
    if (!countsAfter(goesOn, output)) continue
    const replaces: boolean = goesOn === null || goesOn.run !== run
    if (replaces) outputs = []
    const beganAt: number = replaces ? offset : kept!.beganAt
    if (content.kind === 'progress') outputs = outputs.filter((one) => one.content.kind !== 'progress')
    outputs.push({ offset, chunks, atMs, content })
    kept = { generation, attempts, head: { run, chunks }, beganAt }
  }
  if (kept === null || (known !== null && known.generation > kept.generation)) return null
  const page: KeptOutput[] = []
  let bytes = 0
  const rest = outputs.filter((one) => one.offset > after)
  for (const one of rest) {
    if (page.length > 0 && bytes >= bytesMax) break
    page.push(one)
    bytes += one.content.kind === 'chunk' ? one.content.payload.length : 0
  }
  return { ...kept, outputs: page, more: page.length < rest.length }
}
