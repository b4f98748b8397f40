import type { Clock } from '@forebay/broker'
import { isoTime } from '../iso-time.ts'

/**
 * When blobs may go, without a look at any single one. A put writes only into a period that has not ended, and a
 * period goes as a whole, `keepMs` after its end, when nobody has written into it for that long. So a sweep and a put of the
 * same bytes never meet: no marks, no locks, no grace to get right. The price: bytes that are put again in a later
 * period are written again.
 *
 * A period is named by its end, so processes that were told different times (and so count different periods) still
 * agree on when one is over.
 */
export class Periods {
  readonly #clock: Clock
  readonly #keepMs: number
  readonly #lengthMs: number

  constructor(clock: Clock, keepMs: number) {
    this.#clock = clock
    this.#keepMs = keepMs
    this.#lengthMs = Math.max(1_000, Math.ceil(keepMs / PERIODS_KEPT / 1_000) * 1_000)
  }

  /** The period to write into what has to stay for so long; never one that has ended. */
  keeping(ms: number): string {
    return this.#endingAfter(this.#clock.wallMs() + Math.max(0, ms - this.#keepMs))
  }

  current(): string {
    return this.keeping(0)
  }

  /** The one before: between them they hold nearly all that is asked for. */
  previous(): string {
    return this.#endingAfter(this.#clock.wallMs() - this.#lengthMs)
  }

  /** Everything in it has had its time. */
  isOver(period: string): boolean {
    return this.#clock.wallMs() >= endMs(period) + this.#keepMs
  }

  /** Whether a folder's name is that of a period. */
  is(name: string): boolean {
    return /^\d{8}T\d{6}Z$/.test(name) && !Number.isNaN(endMs(name))
  }

  #endingAfter(ms: number): string {
    const end = (Math.floor(ms / this.#lengthMs) + 1) * this.#lengthMs
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
