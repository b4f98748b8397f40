import type { LogRecord, RecordHeader } from '@forebay/broker'

/**
 * Where a row comes from. A source is a stream of bytes, cut into epochs: one file until it is rotated, one start of a
 * collector, one start of a sender. A row stands for the bytes [first, end) of its epoch. So source, epoch and first
 * name a row for ever: one that comes again is the same row, and where no row begins at the end of another there is a
 * gap (N-5).
 */
export interface SourcePosition {
  /** Up to `SOURCE_CHARACTERS_MAX` characters without '@'. */
  readonly source: string
  readonly epoch: string
  readonly first: number
  /** Never before `first`; the same only in rows of lines that have no place, such as those a socket lost. */
  readonly end: number
}

/** `SOURCE@EPOCH` and `FIRST-END`, ASCII. */
export const SOURCE_HEADER = 'fb-source'
export const SEQUENCE_HEADER = 'fb-sequence'
export const SOURCE_CHARACTERS_MAX = 256
export const SOURCE_PATTERN = /^[\w./:-]{1,256}$/
export const EPOCH_PATTERN = /^[\w.-]{1,64}$/

/** The same bytes for every row of an epoch. */
export function sourceHeader(source: string, epoch: string): RecordHeader {
  return [SOURCE_HEADER, Buffer.from(`${source}@${epoch}`)]
}

export function sequenceHeader(first: number, end: number): RecordHeader {
  return [SEQUENCE_HEADER, Buffer.from(`${first}-${end}`, 'latin1')]
}

/** Null for a record that no collector wrote. */
export function readPosition(record: Pick<LogRecord, 'headers'>): SourcePosition | null {
  const [, source, epoch] = /^(.+)@([^@]+)$/.exec(textOf(record, SOURCE_HEADER)) ?? []
  const [, first, end] = /^(\d{1,16})-(\d{1,16})$/.exec(textOf(record, SEQUENCE_HEADER)) ?? []
  if (source === undefined || epoch === undefined || first === undefined || end === undefined) return null
  return { source, epoch, first: Number(first), end: Number(end) }
}

function textOf({ headers }: Pick<LogRecord, 'headers'>, name: string): string {
  const value = headers.find(([known]) => known === name)?.[1]
  return value === undefined ? '' : Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1')
}
