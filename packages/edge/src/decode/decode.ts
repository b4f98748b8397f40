import { isUtf8 } from 'node:buffer'
import type { Clock, RecordHeader, RecordToPublish } from '@forebay/broker'
import type { UndecodableReason } from '../row.ts'
import { sequenceHeader, sourceHeader } from '../source-position.ts'
import { readCombined } from './combined-line.ts'
import { type JsonLine, normalise, readJsonLine } from './json-line.ts'
import { readLogLine } from './log-line.ts'
import { type QuickNginx, quickNginx } from './nginx-quick.ts'
import type { Redaction } from './redaction.ts'
import { SecretHider } from './secret-hider.ts'
import { undecodable } from './undecodable.ts'

/**
 * How lines are written: our JSON format or another one, nginx's `combined`, or the older `common`; log: by a service's
 * logger, one JSON object a line.
 */
export type LineFormat = 'json' | 'combined' | 'common' | 'log'

/** A longer line is kept in pieces, unread. */
export const LINE_BYTES_MAX = 256 * 1024

export interface DecoderOptions {
  readonly topic: string
  readonly format: LineFormat
  readonly redaction: Redaction
  readonly clock: Clock
}

/** What became of lines, for the meters. */
export interface DecodeCounts {
  lines: number
  undecodable: number
}

/** Turns the bytes of one epoch of a source into records, each knowing which bytes it is made of. */
export class Decoder {
  readonly #options: DecoderOptions
  readonly #key: Buffer
  readonly #quick: QuickNginx | null
  readonly #source: RecordHeader
  /** Whose lines they are where they don't say: what stands before the first '/' of a sender's name. */
  readonly #service: string
  readonly #hider: SecretHider
  /** What comes next goes on with a line of which a part has been written already. */
  #within: boolean
  readonly counts: DecodeCounts = { lines: 0, undecodable: 0 }

  /** `within`: what comes first stands in the middle of a line, of which the begin is a row already. */
  constructor(options: DecoderOptions, source: string, epoch: string, within = false) {
    this.#options = options
    this.#key = Buffer.from(source)
    this.#quick = options.format === 'json' ? quickNginx(options.redaction) : null
    this.#source = sourceHeader(source, epoch)
    this.#service = source.includes(':') ? '' : source.split('/')[0]!
    this.#hider = new SecretHider(options.redaction)
    this.#within = within
  }

  /**
   * Appends a record for each whole line of `bytes`, which stand at `base` of the epoch. Returns how many bytes those are;
   * what follows is the begin of a line, unless `final` says that nothing more will come.
   */
  decode(bytes: Buffer, base: number, into: RecordToPublish[], final = false): number {
    const begin = this.#within ? this.#restOfLong(bytes, base, into) : 0
    const wholeEnd = Math.max(begin, bytes.lastIndexOf(NEWLINE) + 1)
    if (wholeEnd > begin) this.#lines(bytes.subarray(begin, wholeEnd), base + begin, into)
    const rest = bytes.subarray(wholeEnd)
    if (this.#within || rest.length > LINE_BYTES_MAX) {
      const taken = this.#pieces(rest, base + wholeEnd, into, final)
      this.#within = true
      return wholeEnd + taken
    }
    if (!final || rest.length === 0) return wholeEnd
    this.#odd(rest, 'unfinished', base + wholeEnd, base + bytes.length, into)
    return bytes.length
  }

  /** Up to where a line that is already partly written ends; 0 where it does not end in `bytes`. */
  #restOfLong(bytes: Buffer, base: number, into: RecordToPublish[]): number {
    const end = bytes.indexOf(NEWLINE) + 1
    if (end === 0) return 0
    this.#pieces(bytes.subarray(0, end), base, into, true)
    this.#within = false
    return end
  }

  /** `bytes` end with a newline. */
  #lines(bytes: Buffer, base: number, into: RecordToPublish[]): void {
    const text = bytes.toString('latin1')
    const clean = isUtf8(bytes)
    let start = 0
    while (start < text.length) {
      const end = text.indexOf('\n', start)
      this.#line(bytes, text, start, end, base, clean, into)
      start = end + 1
    }
  }

  #line(
    bytes: Buffer,
    text: string,
    start: number,
    end: number,
    base: number,
    clean: boolean,
    into: RecordToPublish[],
  ): void {
    const [first, next] = [base + start, base + end + 1]
    if (end - start > LINE_BYTES_MAX) {
      this.#pieces(bytes.subarray(start, end + 1), first, into, true)
      return
    }
    if (!clean && !isUtf8(bytes.subarray(start, end))) {
      this.#odd(bytes.subarray(start, end), 'not-utf8', first, next, into)
      return
    }
    const row = this.#quick?.row(text, start) ?? null
    if (row !== null) {
      this.#push(row, first, next, into)
      return
    }
    const read = this.#read(bytes, text, start, end)
    if (read.kind === 'unreadable') this.#odd(bytes.subarray(start, end), read.reason, first, next, into)
    else this.#push(read.kind === 'as-is' ? bytes.subarray(start, end) : read.value, first, next, into)
  }

  #read(bytes: Buffer, text: string, start: number, end: number): JsonLine {
    const { format, redaction, clock } = this.#options
    if (format === 'log') {
      return readLogLine(bytes.toString('utf8', start, end), { redaction, clock, service: this.#service })
    }
    if (format === 'json') {
      return readJsonLine(text.slice(start, end), () => bytes.toString('utf8', start, end), redaction)
    }
    const row = readCombined(bytes.toString('utf8', start, end), format)
    if (row === null) return { kind: 'unreadable', reason: 'not-the-format' }
    normalise(row, redaction)
    return { kind: 'rewritten', value: Buffer.from(JSON.stringify(row)) }
  }

  /** A line too long to be read, in rows of their own, the last one short only if `whole`. Returns how many bytes that took. */
  #pieces(line: Buffer, first: number, into: RecordToPublish[], whole: boolean): number {
    let at = 0
    while (at < line.length && (whole || line.length - at >= LINE_BYTES_MAX)) {
      const end = Math.min(line.length, at + LINE_BYTES_MAX)
      this.#odd(line.subarray(at, end), 'too-long', first + at, first + end, into, this.#within || at > 0)
      at = end
    }
    return at
  }

  #odd(
    bytes: Buffer,
    reason: UndecodableReason,
    first: number,
    end: number,
    into: RecordToPublish[],
    continues = false,
  ): void {
    this.counts.undecodable++
    const time = new Date(this.#options.clock.wallMs()).toISOString()
    this.#push(undecodable(bytes, reason, time, continues, this.#hider), first, end, into)
  }

  #push(value: Buffer, first: number, end: number, into: RecordToPublish[]): void {
    this.counts.lines++
    const headers = [this.#source, sequenceHeader(first, end)]
    into.push({ topic: this.#options.topic, key: this.#key, value, headers })
  }
}

const NEWLINE = 10
