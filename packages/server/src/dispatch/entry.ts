import type { Delivery, LogRecord, Timer } from '@forebay/broker'
import type { ParkedRow, Wish } from '../store/parking.ts'
import type { Attempt, AttemptRecord, Fault, Task } from '../task.ts'
import { historyOf, NO_HISTORY, type ParkedHistory, withoutHistory } from './parked-history.ts'
import type { PartitionWindow } from './partition-window.ts'

/** A task between its delivery, or its leaving the parking place, and its settlement. */
export interface Entry {
  readonly window: PartitionWindow
  /** As it was handed in. */
  readonly record: LogRecord
  readonly task: Task
  /** Null for one that came from its parking place: its row stands for it. */
  readonly delivery: Delivery | null
  /** Among whom capacity is shared. */
  readonly flow: string
  /** What an operator said of it. */
  readonly wish: Wish | null
  /** Attempts begun, those before it was parked included. */
  attempts: number
  /** Workers lost under it. */
  losses: number
  /** Why the latest attempt failed. */
  fault: Fault | null
  /** Attempts that failed; null before the first. */
  history: AttemptRecord[] | null
  /** Why nobody can run it: its record says what cannot be. */
  poison: string | null
  /** From the begin of the first attempt until it came here, ms. */
  readonly elapsedBeforeMs: number
  /** Monotonic ms of the first attempt that began here; negative before. */
  firstBegunMs: number
  /** Monotonic ms of the latest attempt's begin. */
  begunMs: number
  /** A 'running' note of the latest attempt is out. */
  noted: boolean
  /** It holds a place in the line of its key: those behind wait for it. */
  placed: boolean
  /** The attempt under way. */
  attempt: Attempt | null
  /** The breaker's, of the attempt under way. */
  ticket: number
  /** Set while it waits in the window for its time. */
  wait: Wait | null
}

export interface Wait {
  readonly why: 'delay' | 'backoff' | 'budget' | 'rate'
  /** Monotonic ms. */
  readonly untilMs: number
  readonly timer: Timer
  /** Called when it waits no more, for whatever reason but the loss of its partition. */
  readonly ended: (() => void) | null
}

export function entryOfDelivery(window: PartitionWindow, delivery: Delivery, task: Task, flow: string): Entry {
  const { record } = delivery
  if (task.attemptsBefore === 0) return entryOf(window, record, task, flow, delivery, null, 0, NO_HISTORY)
  return entryOf(window, withoutHistory(record), task, flow, delivery, null, task.attemptsBefore, historyOf(record))
}

/** 'release' gives all attempts and all their time again. */
export function entryOfRow(window: PartitionWindow, row: ParkedRow, task: Task, flow: string): Entry {
  const { attempts, losses, fault } = row
  const afresh = row.wish === 'release'
  const history = afresh ? NO_HISTORY : { ...historyOf(row.record), losses }
  const record = withoutHistory(row.record)
  const entry = entryOf(window, record, task, flow, null, row.wish, afresh ? 0 : attempts, history)
  entry.fault = fault
  return entry
}

/** Since the first attempt began, ms. */
export function elapsedMs(entry: Entry, nowMs: number): number {
  return entry.firstBegunMs < 0 ? entry.elapsedBeforeMs : entry.elapsedBeforeMs + nowMs - entry.firstBegunMs
}

export function deadlineMs({ task }: Entry): number {
  return task.acceptedAtMs + task.budgetMs
}

/** All entries have one shape: the hot path creates and reads many of them. */
function entryOf(
  window: PartitionWindow,
  record: LogRecord,
  task: Task,
  flow: string,
  delivery: Delivery | null,
  wish: Wish | null,
  attempts: number,
  history: ParkedHistory,
): Entry {
  return {
    window,
    record,
    task,
    delivery,
    flow,
    wish,
    attempts,
    losses: history.losses,
    fault: null,
    history: history.failures.length === 0 ? null : [...history.failures],
    poison: null,
    elapsedBeforeMs: history.elapsedMs,
    firstBegunMs: -1,
    begunMs: 0,
    noted: false,
    placed: false,
    attempt: null,
    ticket: 0,
    wait: null,
  }
}
