import { ForebayError } from '@forebay/protocol'
import type { AssignedPartition, Batch, ConsumeRequest, Subscription } from '../broker.ts'
import type { Timer } from '../clock.ts'
import { WINDOW_OFFSETS_MAX } from '../offset-ledger.ts'
import { Pull } from '../pull.ts'
import { Assignment, type AssignmentEvents, type Epoch, type Window } from './assignment.ts'
import { type Beginnings, keyOf } from './beginnings.ts'
import type { Cluster } from './cluster.ts'
import { commitPositions, fetchCommitted } from './commit.ts'
import type { Fetching } from './fetch-loop.ts'
import { CODE, KafkaCodeError, messageOf } from './kafka-error.ts'
import type { Link } from './link.ts'
import { type Holder, Membership } from './membership.ts'
import { listOffsets, type TopicPartition } from './offsets.ts'
import { untilItWorks } from './retry.ts'

export const WINDOW_RECORDS_DEFAULT = 2_000
export const WINDOW_BYTES_DEFAULT = 32 * 1024 * 1024

/** One member's view of its group: batches from the partitions it has at the moment. */
export class KafkaSubscription implements Subscription, Holder, AssignmentEvents {
  readonly #cluster: Cluster
  readonly #loops: Fetching
  readonly #group: string
  readonly #window: Window
  readonly #onAssigned: (assigned: AssignedPartition) => void
  readonly #onClose: (subscription: KafkaSubscription) => void
  readonly #beginnings: Beginnings
  readonly #assignments = new Map<string, Assignment>()
  /** Those that may have something to hand out, each once, in turn. */
  readonly #filled = new Set<Assignment>()
  readonly #membership: Membership
  readonly #pull: Pull<Batch>
  #commitTimer: Timer | null = null
  #committing: Promise<void> = Promise.resolve()
  #closing: Promise<void> | null = null

  constructor(
    cluster: Cluster,
    loops: Fetching,
    request: ConsumeRequest,
    onClose: (subscription: KafkaSubscription) => void,
    beginnings: Beginnings,
  ) {
    this.#cluster = cluster
    this.#loops = loops
    this.#group = request.group
    this.#window = resolveWindow(request)
    this.#onAssigned = request.onAssigned ?? (() => {})
    this.#onClose = onClose
    this.#beginnings = beginnings
    this.#pull = new Pull(
      () => this.#nextBatch(),
      () => this.close(),
    )
    cluster.watch(request.topics)
    this.#membership = new Membership(cluster, request.group, request.topics, this)
  }

  [Symbol.asyncIterator](): AsyncIterator<Batch> {
    return this.#pull
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  held(): readonly TopicPartition[] {
    return [...this.#assignments.values()]
  }

  async beforeRejoin(): Promise<void> {
    await this.#commit([...this.#assignments.values()])
  }

  async assigned(epoch: Epoch, partitions: readonly TopicPartition[]): Promise<boolean> {
    if (this.#closing !== null) return false
    const wanted = new Set(partitions.map(keyOf))
    const gone = [...this.#assignments.values()].filter((one) => !wanted.has(keyOf(one)))
    for (const assignment of this.#assignments.values()) assignment.epoch = epoch
    for (const assignment of gone) this.#drop(assignment, 'the group gave it to another member')
    await this.#commit(gone)
    const fresh = partitions.filter((one) => !this.#assignments.has(keyOf(one)))
    const begun = fresh.map(({ topic, partition }) => {
      const assignment = new Assignment(topic, partition, epoch, this.#window, this)
      this.#assignments.set(keyOf(assignment), assignment)
      return assignment
    })
    for (const { topic, partition, lost } of begun) this.#onAssigned({ topic, partition, lost })
    if (begun.length > 0) void this.#start(begun)
    return gone.length > 0
  }

  lostAll(why: string): void {
    for (const assignment of [...this.#assignments.values()]) this.#drop(assignment, why)
  }

  filled(assignment: Assignment): void {
    this.#filled.add(assignment)
    this.#pull.arrived()
  }

  drained(assignment: Assignment): void {
    if (assignment.wanted) this.#loops.wake()
  }

  settled(_assignment: Assignment): void {
    this.#commitTimer ??= this.#cluster.settings.clock.timer(this.#cluster.settings.commitIntervalMs, () => {
      this.#commitTimer = null
      void this.#commit([...this.#assignments.values()])
    })
  }

  outOfRange(assignment: Assignment): void {
    this.#loops.remove(assignment)
    void this.#moveToEarliest(assignment).catch(() => {})
  }

  #nextBatch(): Batch | null {
    for (const assignment of this.#filled) {
      this.#filled.delete(assignment)
      const batch = assignment.nextBatch()
      if (assignment.more) this.#filled.add(assignment)
      if (batch !== null) return batch
    }
    return null
  }

  /** Finds the group's position for partitions that are new to us, and reads from there. */
  async #start(assignments: readonly Assignment[]): Promise<void> {
    try {
      await untilItWorks(this.#cluster, `Finding where group '${this.#group}' left off`, NEVER, async () => {
        const open = assignments.filter((one) => !one.lost.aborted && !one.started)
        if (open.length === 0) return
        const epoch = this.#membership.epoch
        const link = await this.#membership.link()
        const committed = await fetchCommitted(this.#cluster, link, this.#group, open)
        const fresh = open.filter((_, index) => committed[index] === null)
        const earliest = fresh.length === 0 ? [] : await listOffsets(this.#cluster, fresh, 'earliest')
        const begins = fresh.map((one, index) => this.#beginnings.get(keyOf(one)) ?? earliest[index]!)
        await this.#keepBeginnings(link, epoch, fresh, begins)
        for (const [index, assignment] of open.entries()) {
          const at = committed[index] ?? { offset: begins[fresh.indexOf(assignment)]!, metadata: '' }
          this.#read(assignment, at.offset, at.metadata)
        }
      })
    } catch (error) {
      this.#cluster.settings.onWarning('A partition cannot be read.', { group: this.#group, cause: messageOf(error) })
    }
  }

  /**
   * A place that is not simply the earliest record is committed before anything is read from it: 'latest' would be
   * another place after a crash, and what was delivered and not settled would never come again. `epoch` is older than
   * the answer that nothing is committed, so a commit under it cannot overwrite that of another owner.
   */
  async #keepBeginnings(
    link: Link,
    epoch: Epoch | null,
    fresh: readonly Assignment[],
    begins: readonly number[],
  ): Promise<void> {
    const positions = fresh.flatMap((assignment, index) => {
      if (!this.#beginnings.has(keyOf(assignment)) || assignment.lost.aborted) return []
      return [{ assignment, offset: begins[index]!, metadata: '', committed: () => {} }]
    })
    if (positions.length === 0) return
    if (epoch === null) throw new Error('The group forms anew.')
    for (const code of await commitPositions(this.#cluster, link, this.#group, epoch, positions)) {
      if (code === CODE.NONE) continue
      this.#membership.refused(epoch, code)
      throw new KafkaCodeError(code, `Kafka did not take where '${this.#group}' begins.`)
    }
  }

  #read(assignment: Assignment, offset: number, doneSet: string): void {
    if (assignment.lost.aborted) return
    assignment.start(offset, doneSet)
    this.#loops.add(assignment)
  }

  /**
   * The position is not in the log: retention was faster than the group, or the log was cut short. A fresh assignment
   * begins at the earliest record that is left, because what we know of the old offsets may be about other records.
   */
  async #moveToEarliest(assignment: Assignment): Promise<void> {
    const { topic, partition, offset } = assignment
    const what = `Finding the earliest record of ${topic}/${partition}`
    const [earliest] = await untilItWorks(this.#cluster, what, assignment.lost, () =>
      listOffsets(this.#cluster, [assignment], 'earliest'),
    )
    this.#cluster.settings.onWarning(
      'The group position is not in the log any more; it moves to the earliest record.',
      {
        group: this.#group,
        topic,
        partition,
        position: offset,
        earliest,
        skipped: Math.max(0, earliest! - offset),
      },
    )
    this.#drop(assignment, 'its records are not in the log any more')
    const fresh = new Assignment(topic, partition, assignment.epoch, this.#window, this)
    this.#assignments.set(keyOf(fresh), fresh)
    this.#onAssigned({ topic, partition, lost: fresh.lost })
    this.#read(fresh, earliest!, '')
  }

  #drop(assignment: Assignment, why: string): void {
    this.#assignments.delete(keyOf(assignment))
    this.#filled.delete(assignment)
    this.#loops.remove(assignment)
    assignment.lose(why)
  }

  /** One at a time, so that no older position can arrive after a newer one. */
  #commit(assignments: readonly Assignment[], under: () => Epoch | null = () => this.#membership.epoch): Promise<void> {
    this.#committing = this.#committing.then(() => this.#commitNow(assignments, under()))
    return this.#committing
  }

  async #commitNow(assignments: readonly Assignment[], epoch: Epoch | null): Promise<void> {
    const positions = assignments.filter((one) => one.dirty && one.epoch === epoch).map((one) => one.position())
    if (epoch === null || positions.length === 0) {
      if (assignments.some((one) => one.dirty && !one.lost.aborted)) this.settled(assignments[0]!)
      return
    }
    try {
      const link = await this.#membership.link()
      const codes = await commitPositions(this.#cluster, link, this.#group, epoch, positions)
      for (const [index, code] of codes.entries()) {
        if (code === CODE.NONE) positions[index]!.committed()
        else this.#membership.refused(epoch, code)
      }
    } catch (error) {
      this.#cluster.settings.onWarning('A commit did not reach Kafka.', {
        group: this.#group,
        cause: messageOf(error),
      })
    }
    if (positions.some(({ assignment }) => assignment.dirty && !assignment.lost.aborted)) {
      this.settled(positions[0]!.assignment)
    }
  }

  async #close(): Promise<void> {
    this.#pull.end()
    const last = [...this.#assignments.values()]
    for (const assignment of last) this.#drop(assignment, 'the subscription was closed')
    this.#commitTimer?.cancel()
    await this.#membership.leave((epoch) => this.#commit(last, () => epoch))
    this.#commitTimer?.cancel()
    this.#onClose(this)
  }
}

const NEVER = new AbortController().signal

function resolveWindow(request: ConsumeRequest): Window {
  const records = request.windowRecords ?? WINDOW_RECORDS_DEFAULT
  const bytes = request.windowBytes ?? WINDOW_BYTES_DEFAULT
  if (!Number.isInteger(records) || records < 1 || records > WINDOW_OFFSETS_MAX) {
    throw new ForebayError('CONFIG_INVALID', `windowRecords (${records}) must be from 1 to ${WINDOW_OFFSETS_MAX}.`)
  }
  if (!Number.isInteger(bytes) || bytes < 1) {
    throw new ForebayError('CONFIG_INVALID', `windowBytes (${bytes}) must be 1 or more.`)
  }
  return { records, bytes }
}
