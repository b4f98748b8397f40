import type { LogRecord } from '@forebay/broker'
import type { Fault } from '../task.ts'

/**
 * Parked work, a part of the port Store: tasks that wait outside the log, durably. A parked task is either alone (a
 * delayed task, or one without order) or stands in the line of its key, in the order of the log's offsets. The head of a
 * line is its lowest offset, taken or not. Time hands out heads only, and behind them what is past its deadline. When the
 * owner has removed a head, the next one has its own time, or waits for `takeLine`.
 *
 * Each (queue, partition) has one owner at a time, fenced by an epoch: whoever calls `own` last. What an earlier owner
 * still writes is refused with ParkingFenced. Operators are no owners: what they want is written beside the row, and
 * the owner finds it at its next `take`.
 *
 * All times are durations from now; "now" is the store's own clock, which does not jump while the store runs.
 */
export interface Parking {
  /**
   * Takes a partition over. What the last owner had taken and not finished waits again: due at once where it stands
   * alone or at the head of its line. A head that waits neither by its own time nor for an operator ('exhausted') is due
   * at once as well, for whoever ran its line is gone. Resolves with the epoch to write under and the keys that have a
   * line.
   */
  own(queue: string, partition: number): Promise<Ownership>
  /**
   * Adds rows, or replaces those of the same offset, which then wait again; all or nothing, durably. A row 'behind'
   * changes nothing of one that is there already: its record was delivered once more, or it was taken and is handed
   * back; that row only waits again, with the attempts and the time it had. Throws ParkingFenced.
   */
  park(owned: Owned, rows: readonly RowToPark[]): Promise<void>
  /**
   * Takes at most `limit` rows of one queue that are due: waking time or deadline has passed, or an operator wants
   * something. They stay with the caller until it parks or removes them, or somebody else owns the partition. Earliest
   * first, by the moment from which on time hands them out. Partitions that are owned no more are passed over.
   */
  take(queue: string, owned: readonly Owned[], limit: number): Promise<Taken>
  /**
   * Takes the first rows of a key's line, in order of offset, due or not; those that are taken already are left out.
   * Throws ParkingFenced: nothing there must not be mistaken for an empty line.
   */
  takeLine(owned: Owned, key: string, limit: number): Promise<readonly TakenRow[]>
  /**
   * These are finished: their results, dead letters or new records are in the log. Throws ParkingFenced, also where
   * `offsets` is empty: so an owner asks whether it still is one.
   */
  remove(owned: Owned, offsets: readonly number[]): Promise<void>
  /**
   * Removes rows of these tasks that nobody has taken (they were cancelled); resolves with the ids that it removed. Where
   * that was the head of a line, the next one is due at once, as by `own`. Nothing where the partition is owned no more.
   */
  drop(owned: Owned, taskIds: readonly string[]): Promise<readonly string[]>

  /** For operators: newest first, without payloads. `after` is the `cursor` of the page before. */
  list(filter: ParkedFilter): Promise<ParkedPage>
  /** One row whole; null when there is none. */
  find(queue: string, taskId: string): Promise<ParkedRow | null>
  /**
   * Tells the owner what to do with a row, which is due at once by it (behind the head of a line: when it has become the
   * head). 'taken' while an attempt is under way (ask again).
   */
  wish(queue: string, taskId: string, wish: Wish): Promise<'kept' | 'taken' | 'missing'>
  /**
   * Puts another body in place of a row's: the value, its `content-type`, and no `fb-blob` any more; 'taken' as above.
   */
  edit(queue: string, taskId: string, body: EditedBody): Promise<'kept' | 'taken' | 'missing'>

  /** When a schedule last fired, ms since 1970; null when it never did. */
  lastFired(queue: string, schedule: string): Promise<number | null>
  /** Under the epoch of the queue's partition 0. Throws ParkingFenced. */
  fired(owned: Owned, schedule: string, atMs: number): Promise<void>
}

/** A partition and the epoch under which it is owned. */
export interface Owned {
  readonly queue: string
  readonly partition: number
  readonly epoch: number
}

export interface Ownership {
  readonly epoch: number
  /** Keys that have a line here. */
  readonly lines: readonly string[]
}

export interface RowToPark {
  /** As it was found in the log; its offset is the row's name within the partition. */
  readonly record: LogRecord
  readonly taskId: string
  readonly owner: string
  /** Ordering key of a line; null for a row that stands alone. */
  readonly line: string | null
  readonly reason: ParkReason
  /** Attempts made so far, and workers lost under it. */
  readonly attempts: number
  readonly losses: number
  readonly fault: Fault | null
  /** When to hand it out; null for "not by time": an operator, or the head of its line, says when. ms */
  readonly dueInMs: number | null
  /** When it expires. ms */
  readonly deadlineInMs: number
}

/**
 * - delayed: not before a time the caller named.
 * - backoff: the next attempt is further away than a task should block its partition's window.
 * - behind: an earlier task of its key is parked. Due at once when none is before it in its line any more.
 * - blocking: it waited in a window that was full because of it.
 * - exhausted: its attempts are used up, and the queue says to keep it for an operator.
 */
export type ParkReason = 'delayed' | 'backoff' | 'behind' | 'blocking' | 'exhausted'

/** - retry: one attempt now. - release: the same, with all attempts and all its time again. - skip: give it up. */
export type Wish = 'retry' | 'release' | 'skip'

export interface ParkedRow extends Omit<RowToPark, 'dueInMs' | 'deadlineInMs'> {
  readonly queue: string
  readonly partition: number
  readonly parkedAtMs: number
  /** Wall time by the store's clock; null: not by time. */
  readonly dueAtMs: number | null
  readonly deadlineAtMs: number
  readonly wish: Wish | null
}

export interface TakenRow extends ParkedRow {
  /** The store's clock when it handed the row out: what its moments are to be compared with, and no other clock. */
  readonly nowMs: number
}

export interface Taken {
  readonly rows: readonly TakenRow[]
  /** Until the next row of these partitions is due; null when none waits by time. ms */
  readonly nextInMs: number | null
}

export interface ParkedFilter {
  readonly queue?: string
  /** Rows in the line of this key. */
  readonly key?: string
  readonly reason?: ParkReason
  readonly limit: number
  readonly after?: string
}

export interface ParkedPage {
  readonly rows: readonly ParkedSummary[]
  /** Null on the last page. */
  readonly cursor: string | null
  /** All rows that match, on every page. */
  readonly total: number
}

export interface ParkedSummary extends Omit<ParkedRow, 'record'> {
  readonly offset: number
  /** Of the record's value. */
  readonly bytes: number
}

export interface EditedBody {
  readonly payload: Uint8Array
  readonly contentType: string
}

/** Somebody else owns the partition: nothing was written. */
export class ParkingFenced extends Error {
  constructor(owned: Owned) {
    super(
      `Epoch ${owned.epoch} of ${owned.queue}/${owned.partition} is over: another dispatcher owns its parked tasks.`,
    )
    this.name = 'ParkingFenced'
  }
}
