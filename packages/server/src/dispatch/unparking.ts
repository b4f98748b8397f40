import { type Backoff, type Broker, backoffMs, type Clock, PublishError, type Random } from '@forebay/broker'
import type { Logger } from 'pino'
import type { QueueOptions } from '../options.ts'
import { decodeTask, LOG_OWNER, taskRecordAgain } from '../records.ts'
import type { ParkedRow } from '../store/parking.ts'
import type { Task } from '../task.ts'
import type { Cancellations } from './cancellations.ts'
import { type Entry, entryOfRow } from './entry.ts'
import { flowOf } from './flow-of.ts'
import { withoutHistory } from './parked-history.ts'
import type { PartitionWindow } from './partition-window.ts'

export interface UnparkingDependencies {
  readonly broker: Broker
  readonly queue: QueueOptions
  readonly lanes: number
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

  onDue(window: PartitionWindow, rows: readonly ParkedRow[]): void {
    const { cancellations, clock } = this.#dependencies
    const again: { readonly row: ParkedRow; readonly task: Task }[] = []
    const wallMs = clock.wallMs()
    for (const row of rows) {
      const entry = this.#entryOf(window, row)
      const { task } = entry
      // Handed out from the middle of its line, perhaps: it must not run.
      if (isOver(row, wallMs)) this.#steps.expire(entry)
      else if (row.line !== null || task.owner === LOG_OWNER) this.#steps.enter(entry)
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

  /** All that was left of the line, or the first of it. */
  onLine(window: PartitionWindow, key: string, rows: readonly ParkedRow[], whole: boolean): void {
    const parked = window.parked!
    const entries = rows.map((row) => this.#entryOf(window, row))
    const isDue = rows[0] === undefined || mayRun(rows[0], this.#dependencies.clock.wallMs())
    if (isDue && parked.mayEnter(key)) for (const entry of entries) this.#steps.enter(entry)
    else parked.giveBack(key, entries)
    for (const entry of parked.endAsking(key, isDue && whole)) this.#steps.enter(entry)
    this.#steps.pump()
  }

  async #publishAgain(window: PartitionWindow, rows: readonly { row: ParkedRow; task: Task }[]): Promise<void> {
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

  #gone(window: PartitionWindow, row: ParkedRow): void {
    if (!window.lost.aborted) window.parked!.store.remove(row.record.offset)
  }

  #entryOf(window: PartitionWindow, row: ParkedRow): Entry {
    const { queue, lanes } = this.#dependencies
    const faults: string[] = []
    const task = decodeTask(row.record, { queue: queue.name, budgetMs: queue.deadlineMs, lanes }, faults)
    const entry = entryOfRow(window, row, task, flowOf(queue.fairness, task))
    if (faults.length > 0) entry.poison = faults.join(' ')
    return entry
  }
}

const RETRY: Backoff = { firstMs: 50, maxMs: 5_000 }

function recordAgain({ record, attempts, wish }: ParkedRow, { generation }: Task) {
  if (wish === 'release') return taskRecordAgain(withoutHistory(record), { attemptsBefore: 0, generation })
  return taskRecordAgain(record, { attemptsBefore: attempts, generation })
}

/**
 * Past its deadline, by our clock; or by the store's, where nothing else can have made it due.
 */
function isOver({ deadlineAtMs, reason, wish }: ParkedRow, wallMs: number): boolean {
  const slackMs = reason === 'behind' && wish === null ? CLOCKS_APART_MS_MAX : 0
  return deadlineAtMs <= wallMs + slackMs
}

/** The head of a line was asked for before its time where a row behind it had to end. */
function mayRun({ dueAtMs, reason, wish, deadlineAtMs }: ParkedRow, wallMs: number): boolean {
  if (wish !== null || deadlineAtMs <= wallMs) return true
  return dueAtMs === null ? reason !== 'exhausted' : dueAtMs <= wallMs
}

/** How far the store's clock may be from ours. */
const CLOCKS_APART_MS_MAX = 10_000
