import type { Broker, Clock, Random, Timer } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { Running, StopReport } from '../lifecycle.ts'
import type { RecordedEntry, Store } from '../store/store.ts'
import type { Result } from '../task.ts'
import type { Telemetry } from '../telemetry.ts'
import { RESULTS_TOPIC } from '../topics.ts'
import { RecordedPartition } from './recorded-partition.ts'

/**
 * Keeps the results topic in the store. A store that is not shared belongs to one process, so its recorder reads every
 * partition from the store's own positions, without a group: a group would give each process only a part of the answers.
 * A store that has lost what it had (a restored backup, a rebuild) heals by itself: within `CHECK_MS`, also where nothing
 * new is published, its partitions are read again from where it stands.
 */
export interface Recorder extends Running {
  /**
   * Resolves when every partition is being heard; to be called once, after `onHeard` and `onStored` are set.
   * Throws DATA_CORRUPT when the log ends before what the store has read of it.
   */
  start(): Promise<void>
  /**
   * Set by whoever waits for results: called with each result as it is read, in log order, before the store has it;
   * from `startedAt` on, each result once.
   */
  onHeard: (partition: number, result: Result) => void
  /** Called with each entry once the store has durably applied it, in log order for each partition; after a loss, again. */
  onStored: (entry: RecordedEntry) => void
  /** Set by the same: whether somebody waits for `onStored` of this task; what it says is then not gathered with others. */
  isAwaited: (taskId: string) => boolean
  /** End of a partition when `start` resolved: what was published before is not told to `onHeard`. */
  startedAt(partition: number): number
  /** Resolves when the store has applied everything below `offset`; false when that took longer than `withinMs`. */
  appliedTo(partition: number, offset: number, withinMs: number): Promise<boolean>
  /** Why the store is behind, one line each; empty while all is well. */
  problems(): readonly string[]
}

export interface RecorderParts {
  readonly broker: Broker
  readonly store: Store
  /** Of the results topic. */
  readonly partitions: number
  readonly clock: Clock
  readonly random: Random
  readonly telemetry: Telemetry
}

export function createRecorder(parts: RecorderParts): Recorder {
  return new LogRecorder(parts)
}

class LogRecorder implements Recorder {
  readonly stopped: Promise<StopReport>
  onHeard: Recorder['onHeard'] = () => {}
  onStored: Recorder['onStored'] = () => {}
  isAwaited: Recorder['isAwaited'] = () => false
  readonly #parts: RecorderParts
  readonly #partitions: RecordedPartition[] = []
  #checking: Timer | null = null
  #stopping: Promise<StopReport> | null = null
  #resolveStopped: (report: StopReport) => void = () => {}

  constructor(parts: RecorderParts) {
    this.#parts = parts
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
  }

  async start(): Promise<void> {
    const { broker, store } = this.#parts
    const positions = await store.positions(RESULTS_TOPIC)
    for (let partition = 0; partition < this.#parts.partitions; partition++) {
      const position = positions.get(partition) ?? null
      this.#partitions.push(new RecordedPartition(this, this.#parts, partition, position))
    }
    await Promise.all(this.#partitions.map((one) => one.open()))
    for (const { partition, end } of await broker.inspect({ topics: [RESULTS_TOPIC] })) {
      const position = positions.get(partition) ?? 0
      if (end < position) throw shorterThanRead(partition, position, end)
      const recorded = this.#partitions[partition]
      if (recorded !== undefined) recorded.startedAt = end
    }
    for (const one of this.#partitions) one.run()
    this.#checkLater()
  }

  startedAt(partition: number): number {
    return this.#partitions[partition]?.startedAt ?? 0
  }

  appliedTo(partition: number, offset: number, withinMs: number): Promise<boolean> {
    return this.#partitions[partition]?.appliedTo(offset, withinMs) ?? Promise.resolve(true)
  }

  problems(): readonly string[] {
    return this.#partitions.flatMap((one) => one.problems())
  }

  stop(): Promise<StopReport> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #checkLater(): void {
    if (this.#stopping !== null) return
    this.#checking = this.#parts.clock.timer(CHECK_MS, () => void this.#check())
  }

  async #check(): Promise<void> {
    try {
      const positions = await this.#parts.store.positions(RESULTS_TOPIC)
      for (const [partition, one] of this.#partitions.entries()) one.doubt(positions.get(partition) ?? null)
    } catch {
      // Writes meet the same trouble and say so.
    }
    this.#checkLater()
  }

  async #stop(): Promise<StopReport> {
    this.#checking?.cancel()
    await Promise.all(this.#partitions.map((one) => one.stop()))
    const report = { left: [] }
    this.#resolveStopped(report)
    return report
  }
}

/** How often the store is asked whether it still has what it was given. ms */
const CHECK_MS = 5_000

/** Reading on would skip whatever is published until the log has grown as long again. */
function shorterThanRead(partition: number, position: number, end: number): ForebayError {
  return new ForebayError(
    'DATA_CORRUPT',
    `The store has read partition ${partition} of ${RESULTS_TOPIC} up to ${position}, but it ends at ${end}: the log was replaced or has lost records. Move the store's file away to let it be rebuilt from this log.`,
    { members: { topic: RESULTS_TOPIC, partition, position, end } },
  )
}
