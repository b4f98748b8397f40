import type { Clock } from '@forebay/broker'
import { isoTime } from '../iso-time.ts'

/**
 * When blobs may go, without a look at any single one. They lie in folders that are named by the moment from which on
 * everything in them has had its time. A put chooses one that lies at least as far ahead as the bytes must stay, and a
 * folder goes as a whole when its moment has come: nobody has written into it for `keepMs` by then. So a sweep and a
 * put of the same bytes never meet: no marks, no locks, no grace to get right. The price: bytes that are put again
 * later are written again, into a later folder.
 *
 * The moment is in the name, so whoever has another `keepMs` than the one who wrote takes nothing too early.
 */
export class Periods {
  readonly #clock: Clock
  readonly #keepMs: number
  readonly #stepMs: number

  constructor(clock: Clock, keepMs: number) {
    this.#clock = clock
    this.#keepMs = keepMs
    this.#stepMs = Math.max(1_000, Math.ceil(keepMs / PERIODS_KEPT / 1_000) * 1_000)
  }

  /** The period for what has to stay for so long, and for `keepMs` at least. */
  keeping(ms: number): string {
    return this.#endingAfter(this.#clock.wallMs() + Math.max(this.#keepMs, ms))
  }

  current(): string {
    return this.keeping(0)
  }

  /** The one before: between them they hold nearly all that is asked for. */
  previous(): string {
    return this.#endingAfter(this.#clock.wallMs() + this.#keepMs - this.#stepMs)
  }

  /** Everything in it has had its time. */
  isOver(period: string): boolean {
    return this.#clock.wallMs() >= endMs(period)
  }

  /** Whether a folder's name is that of a period. */
  is(name: string): boolean {
    return /^\d{8}T\d{6}Z$/.test(name) && !Number.isNaN(endMs(name))
  }

  #endingAfter(ms: number): string {
    const end = (Math.floor(ms / this.#stepMs) + 1) * this.#stepMs
    return isoTime(end).replace(/\.\d+|[-:]/g, '')
  }
}

/** The later ones first, as what is asked for is mostly young. */
export function newestFirst(periods: readonly string[]): string[] {
  return [...periods].sort().reverse()
}

/** Periods in the time that a blob is kept: more of them keep less beyond it, and look in more places. */
const PERIODS_KEPT = 4

/** '20261121T120000Z' */
function endMs(period: string): number {
  const [, year, month, day, hour, minute, second] = /^(.{4})(..)(..)T(..)(..)(..)Z$/.exec(period) ?? []
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}
