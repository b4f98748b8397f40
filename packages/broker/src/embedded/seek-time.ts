import type { TimeSeek, TimeSought } from './log-calls.ts'
import type { LogFile } from './log-file.ts'
import { firstOffsetAt } from './record-codec.ts'

/**
 * Looks for the first record of a time, a bounded piece of the log at a time, so that appends get in between. Wall time
 * may have jumped backwards, so every chunk is looked at, though not its records: the row says how late they reach.
 */
export function seekTime(log: LogFile, { partitionId, from, timeMs }: TimeSeek): TimeSought {
  const table = log.tables.get(partitionId)!
  const rows = log.file.database
    .prepare(`SELECT last, timestamp_ms FROM chunk_${table.id} WHERE last >= ? ORDER BY last LIMIT ${CHUNKS_PER_STEP}`)
    .all(from)
  const found = rows.find((row) => Number(row.timestamp_ms) >= timeMs)
  if (found !== undefined) {
    const { chunks, buffer } = log.read({ partitionId, from: Number(found.last), bytesMax: 1 })
    const { base, start, end } = chunks[0]!
    return { kind: 'found', offset: firstOffsetAt(Buffer.from(buffer, start, end - start), base, timeMs) }
  }
  const last = rows.at(-1)
  if (last === undefined || rows.length < CHUNKS_PER_STEP) return { kind: 'end', offset: table.end }
  return { kind: 'more', offset: Number(last.last) + 1 }
}

const CHUNKS_PER_STEP = 20_000
