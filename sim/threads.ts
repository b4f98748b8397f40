import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Mutant } from './mutants/mutant.ts'
import type { SeedAnswer, WorkerOrder } from './worker.ts'

/** One thread in which seeds are run. */
export class SeedThread {
  readonly #worker: Worker

  constructor(mutant: Mutant | null = null) {
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { mutant } satisfies WorkerOrder,
      name: mutant?.name ?? 'seeds',
    })
  }

  async run(seed: number): Promise<SeedAnswer> {
    this.#worker.postMessage(seed)
    // Rejects when the thread breaks.
    const [answer] = await once(this.#worker, 'message')
    return answer as SeedAnswer
  }

  async end(): Promise<void> {
    await this.#worker.terminate()
  }
}

/** Runs seeds as they come, in `threads` threads at once. */
export async function runSeeds(
  seeds: Iterable<number>,
  threads: number,
  onAnswer: (answer: SeedAnswer) => void,
): Promise<void> {
  const left = seeds[Symbol.iterator]()
  await Promise.all(
    Array.from({ length: threads }, async () => {
      const thread = new SeedThread()
      for (let next = left.next(); !next.done; next = left.next()) onAnswer(await thread.run(next.value))
      await thread.end()
    }),
  )
}

export interface MutantReport {
  readonly mutant: Mutant
  /** Null: it was not. */
  readonly caught: { readonly seed: number; readonly invariant: string } | null
  /** What was found that is not among what should catch it. */
  readonly besides: readonly string[]
}

/** Seed after seed until one of the mutant's invariants is broken. */
export async function hunt(mutant: Mutant): Promise<MutantReport> {
  const thread = new SeedThread(mutant)
  const besides = new Set<string>()
  try {
    for (let seed = 1; seed <= mutant.seedsMax; seed++) {
      const { violations } = await thread.run(seed)
      for (const { invariant } of violations) {
        if (mutant.caughtBy.includes(invariant)) return { mutant, caught: { seed, invariant }, besides: [...besides] }
        besides.add(invariant)
      }
    }
    return { mutant, caught: null, besides: [...besides] }
  } finally {
    await thread.end()
  }
}

/** Hunts all of them, `threads` at once. */
export async function huntAll(
  mutants: readonly Mutant[],
  threads: number,
  onReport: (report: MutantReport) => void,
): Promise<void> {
  const left = mutants[Symbol.iterator]()
  await Promise.all(
    Array.from({ length: threads }, async () => {
      for (let next = left.next(); !next.done; next = left.next()) onReport(await hunt(next.value))
    }),
  )
}
