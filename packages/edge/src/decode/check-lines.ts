import type { Clock, RecordToPublish } from '@forebay/broker'
import type { Row } from '../row.ts'
import { Decoder, type LineFormat } from './decode.ts'
import { createRedaction } from './redaction.ts'

export interface CheckedLines {
  /** Whole ones. */
  readonly lines: number
  /** What became of each, in their order. */
  readonly rows: readonly Row[]
  /** That could not be read, with their bytes, in their order. */
  readonly odd: readonly { readonly reason: string; readonly bytes: Buffer }[]
  /** Lines that are no row as they stand: nginx wrote them in another format than `forebay nginx` prints. */
  readonly strange: number
  /** `time` of the last row that could be read. */
  readonly lastTime: string | null
}

/** Reads lines as a collector would, and says what it makes of them. */
export function checkLines(bytes: Buffer, format: LineFormat, clock: Clock): CheckedLines {
  const redaction = createRedaction({ parameters: [], client: 'keep', members: [] })
  const records: RecordToPublish[] = []
  const decoder = new Decoder({ topic: '', format, redaction, clock }, 'check', 'check')
  decoder.decode(bytes, 0, records)
  const odd: { reason: string; bytes: Buffer }[] = []
  let strange = 0
  let lastTime: string | null = null
  const rows = records.map(({ value }) => JSON.parse(Buffer.from(value).toString()) as Row)
  for (const row of rows) {
    if (row.kind === 'undecodable') odd.push({ reason: row.reason, bytes: Buffer.from(row.bytes, 'base64') })
    else {
      if (format === 'json' && (row.kind !== 'access' || typeof row.status !== 'number')) strange++
      if (typeof row.time === 'string') lastTime = row.time
    }
  }
  return { lines: rows.length, rows, odd, strange, lastTime }
}
