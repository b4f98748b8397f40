import { parentPort, workerData } from 'node:worker_threads'
import { loadMutant } from './mutants/load.ts'
import type { Mutant } from './mutants/mutant.ts'
import type { RunReport } from './run.ts'

/** A thread that runs seeds, one after another, as it is asked to; perhaps with a bug in the product. */
export interface WorkerOrder {
  readonly mutant: Mutant | null
}

/** A report without its history, which stays where it is unless it is asked for. */
export interface SeedAnswer extends Pick<RunReport, 'seed' | 'violations' | 'inconclusive' | 'steps' | 'simulatedMs'> {
  readonly covered: ReadonlyMap<string, number>
  readonly events: number
}

const { mutant } = workerData as WorkerOrder
const isLoaded = mutant === null ? () => true : loadMutant(mutant)
const { runSeed } = await import('./run.ts')
if (!isLoaded()) throw new Error(`Mutant "${mutant?.name}" is stale: the simulation does not load ${mutant?.file}.`)

parentPort!.on('message', async (seed: number) => {
  const { violations, inconclusive, steps, simulatedMs, covered, history } = await runSeed(seed)
  const events = history.events.length
  parentPort!.postMessage({ seed, violations, inconclusive, steps, simulatedMs, covered, events } satisfies SeedAnswer)
})
