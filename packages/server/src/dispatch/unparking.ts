import { type Backoff, type Broker, backoffMs, type Clock, PublishError, type Random } from '@forebay/broker'
import type { Logger } from 'pino'
import type { QueueOptions } from '../options.ts'
import { LOG_OWNER, taskRecordAgain } from '../records.ts'
import type { TakenRow } from '../store/parking.ts'
import type { Task } from '../task.ts'
import type { Cancellations } from './cancellations.ts'
import type { LineAnswer } from './due-rows.ts'
import { type Entry, entryOfRow } from './entry.ts'
import { flowOf } from './flow-of.ts'
import { withoutHistory } from './parked-history.ts'
import type { AsOf } from './parked-lines.ts'
import type { PartitionWindow } from './partition-window.ts'
import type { ReadTask } from './read-task.ts'

export interface UnparkingDependencies {
  readonly broker: Broker
  readonly queue: QueueOptions
  readonly readTask: ReadTask
  readonly cancellations: Cancellations
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export interface UnparkingSteps {
  /** It takes its place in the window and runs when its turn comes. */
  enter(entry: Entry): void
  skip(entry: Entry): void
  expire(entry: Entry): void
  pump(): void
  askLine(window: PartitionWindow, key: string): void
  /** What was under way has ended. */
  idle(): void
}

/**
 * What becomes of parked rows that the store hands out. Those of a line run from here, in their order. Those that stand
 * alone go back to the log, whose window, order and fairness then hold for them as for all; the row goes when the new
 * record is durable, so a crash between the two makes a second record of one task, and the first result wins.
 */
export class Unparking {
  /** Groups of rows that are on their way back into the log. */
  underWay = 0
  readonly #dependencies: UnparkingDependencies
  readonly #steps: UnparkingSteps

  constructor(dependencies: UnparkingDependencies, steps: UnparkingSteps) {
    this.#dependencies = dependencies
    this.#steps = steps
  }

  onDue(window: PartitionWindow, rows: readonly TakenRow[], asOf: AsOf): void {
    const { cancellations } = this.#dependencies
    const again: { readonly row: TakenRow; readonly task: Task }[] = []
    for (const row of rows) {
      const entry = this.#entryOf(window, row)
      const { task } = entry
      // Handed out from the middle of its line, perhaps: it must not run.
      if (isOver(row)) this.#steps.expire(entry)
      else if (row.line !== null) this.#head(entry, row, asOf)
      else if (task.owner === LOG_OWNER) this.#steps.enter(entry)
      else if (cancellations.has(task)) this.#gone(window, row)
      else if (row.wish === 'skip') this.#steps.skip(entry)
      else again.push({ row, task })
    }
    if (again.length > 0) {
      this.underWay++
      void this.#publishAgain(window, again).finally(() => {
        this.underWay--
        this.#steps.idle()
      })
    }
    this.#steps.pump()
  }

  /**
   * Handed out while they were being parked: before or after that, nobody knows. In a line the answer counts for
   * nothing, as another may head it by now; what stands alone goes on in either case.
   */
  onHandedAgain(window: PartitionWindow, rows: readonly TakenRow[]): void {
    for (const row of rows) {
      if (row.line !== null) window.parked!.giveBack(row.line, [this.#entryOf(window, row)])
    }
    const alone = rows.filter((row) => row.line === null)
    if (alone.length > 0) this.onDue(window, alone, window.parked!.asOfNow())
  }

  /** The next of a line, none of which is in the window. */
  onLine(window: PartitionWindow, key: string, { rows, whole, torn }: LineAnswer): void {
    const parked = window.parked!
    const asOf = parked.askedAsOf(key)
    const trusted = !torn && !parked.changedSince(key, asOf)
    const due = rows.findIndex((row) => !mayRun(row))
    const isDue = due !== 0
    // One that waits by its time holds back all that stand behind it.
    const mayEnter = due === -1 ? rows : rows.slice(0, due)
    const count = trusted && isDue ? parked.countToEnter(key, mayEnter, asOf) : 0
    const entries = rows.map((row) => this.#entryOf(window, row))
    for (const entry of entries.slice(0, count)) this.#steps.enter(entry)
    if (count < entries.length) parked.giveBack(key, entries.slice(count))
    for (const entry of parked.endAsking(key, whole && trusted && count === entries.length)) this.#steps.enter(entry)
    if (count === 0 && !window.has(key)) {
      if (!trusted) this.#steps.askLine(window, key)
      else if (isDue && entries.length > 0) parked.hold(key, [])
    }
    this.#steps.pump()
  }

  /** Its line may have more. */
  #head(entry: Entry, row: TakenRow, asOf: AsOf): void {
    const parked = entry.window.parked!
    const key = row.line!
    parked.found([key])
    if (parked.countToEnter(key, [row], asOf) === 1) this.#steps.enter(entry)
    else if (row.record.offset >= parked.guard.safeBelow) parked.hold(key, [entry])
    // Another may head the line by now; whoever does is handed out when it is due.
    else parked.giveBack(key, [entry])
  }

  async #publishAgain(window: PartitionWindow, rows: readonly { row: TakenRow; task: Task }[]): Promise<void> {
    const { broker, clock, random, queue, log } = this.#dependencies
    let missing = rows
    for (let failures = 0; missing.length > 0 && !window.lost.aborted; failures++) {
      try {
        await broker.publish(missing.map(({ row, task }) => recordAgain(row, task)))
        for (const { row } of missing) this.#gone(window, row)
        return
      } catch (error) {
        const failed = new Set(error instanceof PublishError ? error.failed.map((one) => one.index) : missing.keys())
        const left = missing.filter((_, index) => failed.has(index))
        for (const one of missing) if (!left.includes(one)) this.#gone(window, one.row)
        missing = left
        const level = failures === 0 ? 'warn' : 'debug'
        log[level]({ err: error, queue: queue.name }, 'due tasks are not in the log yet; trying on')
        await clock.sleep(backoffMs(RETRY, failures, random), window.lost).catch(() => {})
      }
    }
  }

  #gone(window: PartitionWindow, row: TakenRow): void {
    if (!window.lost.aborted) window.parked!.store.remove(row.record.offset)
  }

  #entryOf(window: PartitionWindow, row: TakenRow): Entry {
    const { queue, readTask } = this.#dependencies
    const faults: string[] = []
    const task = readTask(row.record, faults)
    const entry = entryOfRow(window, row, task, flowOf(queue.fairness, task))
    if (faults.length > 0) entry.poison = faults.join(' ')
    return entry
  }
}

const RETRY: Backoff = { firstMs: 50, maxMs: 5_000 }

function recordAgain({ record, attempts, wish }: TakenRow, { generation }: Task) {
  if (wish === 'release') return taskRecordAgain(withoutHistory(record), { attemptsBefore: 0, generation })
  return taskRecordAgain(record, { attemptsBefore: attempts, generation })
}

/** Past its deadline, by the clock of the store: ours may be another. */
function isOver({ deadlineAtMs, nowMs }: TakenRow): boolean {
  return deadlineAtMs <= nowMs
}

/**
 * The head of a line was asked for before its time where a row behind it had to end; and one that waits by its time
 * stands behind others where these came from the log once more.
 */
function mayRun(row: TakenRow): boolean {
  if (row.wish !== null || isOver(row)) return true
  return row.dueAtMs === null ? row.reason !== 'exhausted' : row.dueAtMs <= row.nowMs
}
