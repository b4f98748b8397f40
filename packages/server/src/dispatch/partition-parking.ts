import { type Backoff, backoffMs, type Clock, type Random } from '@forebay/broker'
import type { Logger } from 'pino'
import {
  type Owned,
  type Parking,
  ParkingFenced,
  type ParkReason,
  type RowToPark,
  type TakenRow,
} from '../store/parking.ts'
import { deadlineMs, type Entry, elapsedMs } from './entry.ts'
import { withHistory } from './parked-history.ts'
import { WriteMarks } from './write-marks.ts'

export interface ParkingDependencies {
  readonly parking: Parking
  readonly queue: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export interface PartitionParkingEvents {
  /** Owned, for the first time or once more; these keys have a line. */
  owned(lines: readonly string[]): void
  /** Durably parked: their deliveries may be settled. */
  parked(parked: readonly ToPark[]): void
  removed(count: number): void
  /** Due again before the store had said that they are parked. */
  handedAgain(rows: readonly TakenRow[]): void
  /** Nothing is being written any more. */
  idle(): void
}

export interface ToPark {
  readonly entry: Entry
  /** The key whose line it joins; null for one alone. */
  readonly line: string | null
  readonly reason: ParkReason
  /** Monotonic ms; null for "not by time". */
  readonly dueMs: number | null
}

/**
 * Writes to the parked tasks of one partition, for as long as it is assigned: in the order in which they were asked
 * for, one call at a time; what comes while one is under way goes together into the next. It tries for ever: a task
 * leaves the log only when its row is durable (P5), and where somebody else has owned the partition in between, it is
 * owned once more.
 */
export class PartitionParking {
  /** Offsets of rows that were taken and are not finished. */
  readonly #inHand = new Set<number>()
  /** Offsets of what is on its way into the store. */
  readonly #onTheirWay = new Set<number>()
  /** Rows that the store handed out while they were in hand, or on their way, still. */
  readonly #again = new Map<number, TakenRow>()
  readonly parks = new WriteMarks()
  readonly removals = new WriteMarks()
  readonly #dependencies: ParkingDependencies
  readonly #events: PartitionParkingEvents
  readonly #partition: number
  readonly #lost: AbortSignal
  #owned: Owned | null = null
  #owning: Promise<void> | null = null
  #parks: ToPark[] = []
  #removals: number[] = []
  #asks: LineAsk[] = []
  #checking = false
  #writing = false

  constructor(dependencies: ParkingDependencies, partition: number, lost: AbortSignal, events: PartitionParkingEvents) {
    this.#dependencies = dependencies
    this.#partition = partition
    this.#lost = lost
    this.#events = events
  }

  /** Null until it is owned, and while it has to be owned once more. */
  get owned(): Owned | null {
    return this.#owned
  }

  /** Resolves when it is owned, or lost. Whatever is taken from it waits again, also what nobody knows to be taken. */
  own(): Promise<void> {
    this.#owned = null
    this.#owning ??= this.#own().finally(() => {
      this.#owning = null
    })
    return this.#owning
  }

  async #own(): Promise<void> {
    const { parking, queue, log } = this.#dependencies
    const ownership = await this.#untilDone(() => parking.own(queue, this.#partition), 'taking over parked tasks')
    if (ownership === null) return
    this.#owned = { queue, partition: this.#partition, epoch: ownership.epoch }
    const { epoch, lines } = ownership
    log.debug({ queue, partition: this.#partition, epoch, lines: lines.length }, 'parked tasks are owned')
    this.#events.owned(lines)
  }

  park(parks: readonly ToPark[]): void {
    for (const one of parks) {
      const { offset } = one.entry.record
      this.#parks.push(one)
      this.parks.asked()
      this.#onTheirWay.add(offset)
      this.#again.delete(offset)
    }
    this.#wake()
  }

  remove(offset: number): void {
    this.#removals.push(offset)
    this.removals.asked()
    this.#wake()
  }

  /**
   * Takes the first rows of a key's line, when all that was to be parked before has been; null when the partition is
   * lost.
   */
  takeLine(key: string, limit: number): Promise<readonly TakenRow[] | null> {
    return new Promise((resolve) => {
      this.#asks.push({ key, limit, resolve })
      this.#wake()
    })
  }

  /**
   * Counts rows in that the store has handed out, and leaves out what is in hand already: after owning once more the
   * store hands it out again, and what has just been parked may come back before the answer to its parking.
   */
  takenIn(rows: readonly TakenRow[]): readonly TakenRow[] {
    return rows.filter((row) => {
      const { offset } = row.record
      if (this.#inHand.has(offset) || this.#onTheirWay.has(offset)) {
        this.#again.set(offset, row)
        return false
      }
      this.#inHand.add(offset)
      return true
    })
  }

  get inHand(): number {
    return this.#inHand.size
  }

  /** Finds out whether it is owned no more; whoever only waits for due rows would not hear of it. */
  check(): void {
    this.#checking = true
    this.#wake()
  }

  get writing(): boolean {
    return this.#writing
  }

  /**
   * Runs `act` under the epoch; null when the partition is lost. Owns again and repeats where somebody else had owned
   * it, and repeats after any other failure.
   */
  async underEpoch<Done>(act: (owned: Owned) => Promise<Done>, what: string): Promise<Done | null> {
    for (;;) {
      if (this.#owned === null) await this.own()
      const owned = this.#owned as Owned | null
      if (owned === null || this.#lost.aborted) return null
      try {
        return await this.#untilDone(() => act(owned), what)
      } catch {
        this.#dependencies.log.warn(
          { ...owned },
          'another dispatcher owns the parked tasks of a partition; taking over',
        )
        // Two who each believe to be the owner must not take turns at full speed.
        await this.#pause(1)
        if (this.#owned === owned) await this.own()
      }
    }
  }

  #wake(): void {
    if (this.#writing) return
    this.#writing = true
    queueMicrotask(() => void this.#write())
  }

  async #write(): Promise<void> {
    while (!this.#lost.aborted && this.#wanted) {
      // What was to be parked before they asked is in their answers.
      const asks = this.#asks.splice(0)
      if (this.#parks.length > 0) await this.#writeParks()
      if (this.#removals.length > 0 || this.#checking) await this.#writeRemovals()
      if (asks.length > 0) await this.#takeLines(asks)
    }
    this.#writing = false
    for (const { resolve } of this.#asks.splice(0)) resolve(null)
    this.#events.idle()
  }

  get #wanted(): boolean {
    return this.#parks.length + this.#removals.length + this.#asks.length > 0 || this.#checking
  }

  async #writeParks(): Promise<void> {
    const { parking, clock } = this.#dependencies
    const parks = this.#parks
    this.#parks = []
    const done = await this.underEpoch(async (owned) => {
      await parking.park(
        owned,
        parks.map((one) => rowOf(one, clock)),
      )
      return true
    }, 'parking tasks')
    if (done === null || this.#lost.aborted) return
    const again: TakenRow[] = []
    for (const { entry } of parks) {
      const { offset } = entry.record
      const row = this.#again.get(offset)
      this.#again.delete(offset)
      this.#onTheirWay.delete(offset)
      this.#inHand.delete(offset)
      if (row !== undefined) {
        this.#inHand.add(offset)
        again.push(row)
      }
    }
    this.#events.parked(parks)
    this.parks.wrote(parks.length)
    if (again.length > 0) this.#events.handedAgain(again)
  }

  async #writeRemovals(): Promise<void> {
    const { parking } = this.#dependencies
    const offsets = this.#removals
    this.#removals = []
    this.#checking = false
    const done = await this.underEpoch(async (owned) => {
      await parking.remove(owned, offsets)
      return true
    }, 'removing parked tasks that are finished')
    if (done === null) return
    for (const offset of offsets) {
      this.#inHand.delete(offset)
      this.#again.delete(offset)
    }
    if (offsets.length === 0) return
    this.#events.removed(offsets.length)
    this.removals.wrote(offsets.length)
  }

  async #takeLines(asks: readonly LineAsk[]): Promise<void> {
    await Promise.all(
      asks.map(async ({ key, limit, resolve }) => {
        resolve(await this.underEpoch((owned) => this.#takeLine(owned, key, limit), 'taking a parked line'))
      }),
    )
  }

  /** Where nobody knows what was taken, the next try must not begin behind it. */
  async #takeLine(owned: Owned, key: string, limit: number): Promise<readonly TakenRow[]> {
    try {
      return await this.#dependencies.parking.takeLine(owned, key, limit)
    } catch (error) {
      if (error instanceof ParkingFenced) throw error
      this.#dependencies.log.warn(
        { err: error, ...owned },
        'a parked line was not read; taking its partition over anew',
      )
      throw new ParkingFenced(owned)
    }
  }

  /** Null when the partition is lost; throws ParkingFenced only. */
  async #untilDone<Done>(act: () => Promise<Done>, what: string): Promise<Done | null> {
    const { queue, log } = this.#dependencies
    for (let failures = 0; !this.#lost.aborted; failures++) {
      try {
        return await act()
      } catch (error) {
        if (error instanceof ParkingFenced) throw error
        if (this.#lost.aborted) break
        const quiet = failures > 0
        log[quiet ? 'debug' : 'warn']({ err: error, queue, partition: this.#partition }, `${what} failed; trying on`)
        await this.#pause(failures)
      }
    }
    return null
  }

  async #pause(failures: number): Promise<void> {
    const { clock, random } = this.#dependencies
    await clock.sleep(backoffMs(RETRY, failures, random), this.#lost).catch(() => {})
  }
}

interface LineAsk {
  readonly key: string
  readonly limit: number
  readonly resolve: (rows: readonly TakenRow[] | null) => void
}

const RETRY: Backoff = { firstMs: 50, maxMs: 5_000 }

/** Durations count from the call, so a row is made anew for each try. */
function rowOf({ entry, line, reason, dueMs }: ToPark, clock: Clock): RowToPark {
  const { task, attempts, losses, fault } = entry
  const nowMs = clock.monotonicMs()
  const record =
    attempts === 0
      ? entry.record
      : withHistory(entry.record, {
          losses,
          elapsedMs: elapsedMs(entry, Math.max(nowMs, dueMs ?? 0)),
          failures: entry.history ?? [],
        })
  return {
    record,
    taskId: task.id,
    owner: task.owner,
    line,
    reason,
    attempts,
    losses,
    fault,
    dueInMs: dueMs === null ? null : Math.max(0, dueMs - nowMs),
    deadlineInMs: Math.max(0, deadlineMs(entry) - clock.wallMs()),
  }
}
