import type { Broker } from '@forebay/broker'
import type { Store } from '../store/store.ts'
import { RESULTS_TOPIC } from '../topics.ts'
import { createRecorder, type RecorderParts } from './recorder.ts'

/** How far the store has come with one partition of the results. */
export interface StoredPartition {
  readonly partition: number
  /** First offset that is not stored; null where nothing is. */
  readonly position: number | null
  /** First offset that the log still has, and the one after its last. */
  readonly start: number
  readonly end: number
}

/** Both are open. Empty while there is no results topic. */
export async function storedPartitions(broker: Broker, store: Store): Promise<readonly StoredPartition[]> {
  const [positions, states] = await Promise.all([
    store.positions(RESULTS_TOPIC),
    broker.inspect({ topics: [RESULTS_TOPIC] }),
  ])
  const partitions = states.map(({ partition, start, end }) => {
    return { partition, position: positions.get(partition) ?? null, start, end }
  })
  return partitions.sort((a, b) => a.partition - b.partition)
}

/** Records of the log that the store does not have yet. */
export function recordsMissing(partitions: readonly StoredPartition[]): number {
  return partitions.reduce(
    (sum, { position, start, end }) => sum + Math.max(0, end - Math.max(position ?? 0, start)),
    0,
  )
}

/**
 * Empties what the store knows of tasks and fills it again from the log, as far as that reaches at the start of the call.
 * Both are open. Others may go on working with them: the gateways' recorders find the store behind them and take part.
 * `onProgress` is told every second how many records are missing. What is cut off goes on at any gateway's next start.
 */
export async function rebuildStore(
  parts: Omit<RecorderParts, 'partitions'>,
  onProgress: (missing: number) => void,
): Promise<{ readonly records: number }> {
  const { broker, store } = parts
  await store.rebuild(RESULTS_TOPIC)
  const wanted = await storedPartitions(broker, store)
  const recorder = createRecorder({ ...parts, partitions: wanted.length })
  try {
    await recorder.start()
    for (const { partition, end } of wanted) {
      while (!(await recorder.appliedTo(partition, end, PROGRESS_MS))) {
        onProgress(recordsMissing(await storedPartitions(broker, store)))
      }
    }
  } finally {
    await recorder.stop()
  }
  return { records: wanted.reduce((sum, { start, end }) => sum + end - start, 0) }
}

const PROGRESS_MS = 1_000
