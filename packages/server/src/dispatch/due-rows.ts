import { type Backoff, backoffMs, type Clock, type Random } from '@forebay/broker'
import type { Logger } from 'pino'
import type { Owned, Parking, Taken, TakenRow } from '../store/parking.ts'
import type { AsOf } from './parked-lines.ts'
import type { PartitionWindow } from './partition-window.ts'

export interface DueRowsDependencies {
  readonly parking: Parking
  readonly queue: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Windows whose parked tasks are owned. */
  windows(): Iterable<PartitionWindow>
  /** Rows that are due, all of one partition that is still owned, none of them in hand. */
  onDue(window: PartitionWindow, rows: readonly TakenRow[], asOf: AsOf): void
  /** The next rows of a key's line. */
  onLine(window: PartitionWindow, key: string, line: LineAnswer): void
}

export interface LineAnswer {
  readonly rows: readonly TakenRow[]
  /** All that was left of the line. */
  readonly whole: boolean
  /** Some of it is in hand, or on its way back, already: the rest says nothing of who comes first. */
  readonly torn: boolean
}

/**
 * Asks the store for parked rows: those that are due, and the rest of lines that run. One question after the other, so
 * that the head of a line never comes by one road while what is behind it comes by another.
 */
export class DueRows {
  readonly #dependencies: DueRowsDependencies
  readonly #stopped = new AbortController()
  readonly #ended: Promise<void>
  #lines: AskedLine[] = []
  /** Monotonic ms. */
  #nextTakeMs = 0
  #earliestTakeMs = 0
  #nextCheckMs: number
  /** The last take found no room, or filled what there was. */
  #more = false
  #poked = false
  #wake: (() => void) | null = null
  #failures = 0

  constructor(dependencies: DueRowsDependencies) {
    this.#dependencies = dependencies
    this.#nextCheckMs = dependencies.clock.monotonicMs() + CHECK_MS
    this.#ended = this.#run()
  }

  /** A row will be due then, or a partition has just been owned. */
  expectIn(delayMs: number): void {
    const atMs = this.#dependencies.clock.monotonicMs() + delayMs
    if (atMs >= this.#nextTakeMs) return
    this.#nextTakeMs = atMs
    this.#poke()
  }

  /** None of the key runs any more, and its line may have more. */
  askLine(window: PartitionWindow, key: string): void {
    if (!window.parked?.beginAsking(key)) return
    this.#lines.push({ window, key })
    this.#poke()
  }

  /** Rows have been parked again or removed: there may be room for more. */
  written(): void {
    if (this.#more || this.#lines.length > 0) this.#poke()
  }

  /** What is being asked may go on until the partitions are lost. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#poke()
    await this.#ended
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      this.#poked = false
      try {
        await this.#askLines()
        if (!signal.aborted && this.#dependencies.clock.monotonicMs() >= this.#takeAtMs) await this.#take()
        this.#failures = 0
      } catch (error) {
        await this.#failed(error)
      }
      if (!this.#poked) await this.#sleep()
    }
  }

  get #takeAtMs(): number {
    return this.#more ? 0 : Math.max(this.#nextTakeMs, this.#earliestTakeMs)
  }

  /** Rows that may be taken now. */
  #room(): number {
    let inHand = 0
    for (const { parked } of this.#dependencies.windows()) inHand += parked?.store.inHand ?? 0
    return ROWS_IN_HAND_MAX - inHand
  }

  async #askLines(): Promise<void> {
    if (this.#lines.length === 0) return
    const asked: Promise<void>[] = []
    const later: AskedLine[] = []
    let room = this.#room()
    for (const one of this.#lines) {
      if (one.window.lost.aborted) continue
      if (room <= 0 || asked.length >= LINES_AT_ONCE) {
        later.push(one)
        continue
      }
      // Near the bound each line takes less, so that many lines get on rather than few.
      const limit = Math.max(1, Math.min(LINE_ROWS_MAX, Math.floor(room / 10)))
      room -= limit
      asked.push(this.#askLine(one, limit))
    }
    this.#lines = later
    await Promise.all(asked)
    if (asked.length > 0 && later.length > 0) this.#poked = true
  }

  async #askLine({ window, key }: AskedLine, limit: number): Promise<void> {
    const { store } = window.parked!
    const rows = await store.takeLine(key, limit)
    if (rows === null || window.lost.aborted) return
    const fresh = store.takenIn(rows)
    const torn = fresh.length < rows.length
    this.#dependencies.onLine(window, key, { rows: fresh, whole: rows.length < limit, torn })
  }

  async #take(): Promise<void> {
    const { parking, queue, clock, windows, onDue } = this.#dependencies
    const nowMs = clock.monotonicMs()
    this.#nextTakeMs = nowMs + POLL_MS_MAX
    this.#earliestTakeMs = nowMs + POLL_MS_MIN
    const check = nowMs >= this.#nextCheckMs
    if (check) this.#nextCheckMs = nowMs + CHECK_MS
    const owned: Owned[] = []
    const asked = new Map<number, AskedPartition>()
    for (const window of windows()) {
      const store = window.parked?.store
      if (check) store?.check()
      if (!store?.owned || window.lost.aborted) continue
      owned.push(store.owned)
      asked.set(window.partition, { window, asOf: window.parked!.asOfNow() })
    }
    this.#more = false
    if (owned.length === 0) return
    const limit = Math.min(TAKE_ROWS_MAX, this.#room())
    if (limit > 0) {
      const { rows, nextInMs } = await this.#answerTo(parking.take(queue, owned, limit), asked)
      if (nextInMs !== null) this.expectIn(nextInMs)
      for (const [partition, ofPartition] of byPartition(rows)) {
        const { window, asOf } = asked.get(partition)!
        if (!window.lost.aborted) onDue(window, window.parked!.store.takenIn(ofPartition), asOf)
      }
      if (rows.length < limit) return
    }
    this.#more = true
  }

  /** Where nobody knows what was taken, owning anew makes it wait again. */
  async #answerTo(question: Promise<Taken>, asked: ReadonlyMap<number, AskedPartition>): Promise<Taken> {
    try {
      return await question
    } catch (error) {
      for (const { window } of asked.values()) void window.parked?.store.own()
      throw error
    }
  }

  async #failed(error: unknown): Promise<void> {
    const { queue, clock, random, log } = this.#dependencies
    log[this.#failures === 0 ? 'warn' : 'debug']({ err: error, queue }, 'parked tasks cannot be read; trying on')
    await clock.sleep(backoffMs(RETRY, this.#failures++, random), this.#stopped.signal).catch(() => {})
  }

  #sleep(): Promise<void> {
    const { clock } = this.#dependencies
    const nowMs = clock.monotonicMs()
    // Where there is no room, whoever makes some pokes.
    const untilMs = this.#more && this.#room() <= 0 ? nowMs + POLL_MS_MAX : this.#takeAtMs
    return new Promise((resolve) => {
      const timer = clock.timer(Math.max(0, untilMs - nowMs), () => this.#wake?.())
      this.#wake = () => {
        this.#wake = null
        timer.cancel()
        resolve()
      }
    })
  }

  #poke(): void {
    this.#poked = true
    this.#wake?.()
  }
}

interface AskedLine {
  readonly window: PartitionWindow
  readonly key: string
}

interface AskedPartition {
  readonly window: PartitionWindow
  readonly asOf: AsOf
}

function byPartition(rows: readonly TakenRow[]): Map<number, TakenRow[]> {
  const grouped = new Map<number, TakenRow[]>()
  for (const row of rows) {
    const ofPartition = grouped.get(row.partition)
    if (ofPartition === undefined) grouped.set(row.partition, [row])
    else ofPartition.push(row)
  }
  return grouped
}

/** Rows of one queue that are taken and not finished, in memory here. */
export const ROWS_IN_HAND_MAX = 1_000
/** Rows of one line that are taken at once. */
export const LINE_ROWS_MAX = 100
const TAKE_ROWS_MAX = 500
const LINES_AT_ONCE = 16
/** How soon what an operator wishes is seen. */
const POLL_MS_MAX = 1_000
const POLL_MS_MIN = 20
/** How soon an owner finds out that somebody else took its parked tasks over by mistake. */
const CHECK_MS = 15_000
const RETRY: Backoff = { firstMs: 50, maxMs: 5_000 }
