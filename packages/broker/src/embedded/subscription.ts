import type { AssignedPartition, Batch, Subscription } from '../broker.ts'
import type { Assignment, Window } from './assignment.ts'
import type { PartitionLog } from './partition-log.ts'
import { Wakeup } from './wakeup.ts'

/** Most records of one batch, so that no partition keeps the others waiting. */
export const BATCH_RECORDS_MAX = 500

/** One member of a group: hands out what its assignments have, in turn. */
export class EmbeddedSubscription implements Subscription {
  readonly topics: ReadonlySet<string>
  readonly window: Window
  /** Where a group without a position begins; the earliest record where nothing is said. */
  readonly beginnings: ReadonlyMap<PartitionLog, number>
  readonly wakeup = new Wakeup()
  readonly #onAssigned: (assigned: AssignedPartition) => void
  readonly #leave: (subscription: EmbeddedSubscription) => Promise<void>
  #assignments: Assignment[] = []
  #turn = 0
  #failure: Error | null = null
  #closing: Promise<void> | null = null

  constructor(
    topics: readonly string[],
    window: Window,
    beginnings: ReadonlyMap<PartitionLog, number>,
    onAssigned: (assigned: AssignedPartition) => void,
    leave: (subscription: EmbeddedSubscription) => Promise<void>,
  ) {
    this.topics = new Set(topics)
    this.window = window
    this.beginnings = beginnings
    this.#onAssigned = onAssigned
    this.#leave = leave
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, undefined> {
    while (this.#closing === null) {
      if (this.#failure !== null) throw this.#failure
      const batch = this.#nextBatch()
      if (batch !== null) yield batch
      else await this.wakeup.sleep()
    }
    return undefined
  }

  assigned(assignments: Assignment[]): void {
    const known = new Set(this.#assignments)
    this.#assignments = assignments
    for (const one of assignments) if (!known.has(one)) this.#tell(one)
    this.wakeup.wake()
  }

  #tell({ cursor, lost }: Assignment): void {
    const { topic, partition } = cursor.log
    this.#onAssigned({ topic, partition, lost })
  }

  /** The log is gone: the iteration throws. */
  fail(error: Error): void {
    this.#failure = error
    this.wakeup.wake()
  }

  close(): Promise<void> {
    if (this.#closing === null) {
      this.#closing = this.#leave(this)
      this.wakeup.wake()
    }
    return this.#closing
  }

  #nextBatch(): Batch | null {
    const count = this.#assignments.length
    for (let tried = 0; tried < count; tried++) {
      const assignment = this.#assignments[this.#turn++ % count]!
      const deliveries = assignment.collect(BATCH_RECORDS_MAX)
      if (deliveries.length === 0) continue
      const { topic, partition } = assignment.cursor.log
      return { topic, partition, deliveries }
    }
    return null
  }
}
