import { OffsetLedger } from '../offset-ledger.ts'
import { Assignment } from './assignment.ts'
import { Cursor } from './cursor.ts'
import type { LogCalls, StoredPosition } from './log-calls.ts'
import type { PartitionLog } from './partition-log.ts'
import type { EmbeddedSubscription } from './subscription.ts'
import type { ThreadCaller } from './thread-call.ts'

/**
 * A consumer group within this process, the only one there is: who owns which partition, and how far each has come.
 * Partition n of a topic belongs to member n modulo their number, in the order they joined.
 */
export class Group {
  readonly name: string
  readonly #topics: ReadonlyMap<string, readonly PartitionLog[]>
  readonly #thread: ThreadCaller<LogCalls>
  readonly #onDirty: () => void
  #members: EmbeddedSubscription[] = []
  /** By partition id; they outlive assignments. */
  readonly #ledgers = new Map<number, OffsetLedger>()
  readonly #stored = new Map<number, StoredPosition>()
  readonly #owned = new Map<PartitionLog, { member: EmbeddedSubscription; assignment: Assignment }>()
  readonly #dirty = new Set<number>()

  /** `onDirty` is called when there is something to commit that was not there before. */
  constructor(
    name: string,
    topics: ReadonlyMap<string, readonly PartitionLog[]>,
    thread: ThreadCaller<LogCalls>,
    onDirty: () => void,
  ) {
    this.name = name
    this.#topics = topics
    this.#thread = thread
    this.#onDirty = onDirty
  }

  /** What is committed, as the file has it. */
  stored(position: StoredPosition): void {
    this.#stored.set(position.partitionId, position)
  }

  /** First unfinished offset that is committed; null while nothing is. */
  committed(log: PartitionLog): number | null {
    return this.#stored.get(log.id)?.watermark ?? null
  }

  /** Whether it has a position, stored or about to be. */
  knows(log: PartitionLog): boolean {
    return this.#ledgers.has(log.id) || this.#stored.has(log.id)
  }

  /** From joining on the group has a position, so that retention keeps what it has not finished. */
  join(member: EmbeddedSubscription): void {
    this.#members = [...this.#members, member]
    this.#rebalance()
  }

  leave(member: EmbeddedSubscription): void {
    this.#members = this.#members.filter((one) => one !== member)
    this.#rebalance()
  }

  /** Takes what has changed since the last time. */
  takeDirty(): StoredPosition[] {
    const positions = [...this.#dirty].map((partitionId) => {
      const ledger = this.#ledgers.get(partitionId)!
      return { group: this.name, partitionId, watermark: ledger.watermark, metadata: ledger.encode() }
    })
    this.#dirty.clear()
    return positions
  }

  markDirty(partitionId: number): void {
    const first = this.#dirty.size === 0
    this.#dirty.add(partitionId)
    if (first) this.#onDirty()
  }

  #rebalance(): void {
    const assigned = new Map<EmbeddedSubscription, Assignment[]>(this.#members.map((member) => [member, []]))
    for (const [topic, logs] of this.#topics) {
      const members = this.#members.filter((member) => member.topics.has(topic))
      for (const log of logs) {
        const member = members[log.partition % members.length]
        const owned = this.#owned.get(log)
        if (owned !== undefined && owned.member !== member) this.#take(log, owned.assignment)
        if (member !== undefined) assigned.get(member)!.push(this.#give(log, member))
      }
    }
    for (const [member, assignments] of assigned) member.assigned(assignments)
  }

  #give(log: PartitionLog, member: EmbeddedSubscription): Assignment {
    const owned = this.#owned.get(log)
    if (owned !== undefined) return owned.assignment
    const ledger = this.#ledgerOf(log, member)
    this.#ledgers.set(log.id, ledger)
    const cursor = new Cursor(log, ledger.watermark, this.#thread, member.wakeup.wake)
    const assignment = new Assignment(ledger, cursor, member.window, (roomMade) => {
      this.markDirty(log.id)
      if (roomMade) member.wakeup.wake()
    })
    this.#owned.set(log, { member, assignment })
    return assignment
  }

  #take(log: PartitionLog, assignment: Assignment): void {
    this.#owned.delete(log)
    assignment.end()
  }

  /** What is finished goes on from assignment to assignment; what is only delivered does not. */
  #ledgerOf(log: PartitionLog, member: EmbeddedSubscription): OffsetLedger {
    const before = this.#ledgers.get(log.id)
    if (before !== undefined) return OffsetLedger.decode(before.watermark, before.encode())
    const stored = this.#stored.get(log.id)
    if (stored !== undefined) return OffsetLedger.decode(stored.watermark, stored.metadata)
    this.markDirty(log.id)
    return OffsetLedger.start(Math.max(log.start, member.beginnings.get(log) ?? 0))
  }
}
