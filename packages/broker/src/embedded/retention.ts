import type { Retain, Retained } from './log-calls.ts'
import type { LogFile, PartitionTable } from './log-file.ts'

/**
 * Removes what is older than its topic keeps records, and the oldest beyond `retentionBytes`; never what some group
 * with a position in the partition has not finished, and nothing of topics kept for ever. Does a bounded piece of the
 * work in one transaction, so that appends do not wait long.
 */
export function retain(log: LogFile, request: Retain): Retained {
  const floors = floorsOf(log)
  const starts = new Map<number, number>()
  let chunksLeft = CHUNKS_PER_STEP

  log.transaction(() => {
    for (const table of log.tables.values()) {
      if (table.retentionMs === 'forever') continue
      const chunks = oldest(log, table, floors, chunksLeft)
      const young = chunks.findIndex((chunk) => chunk.timestampMs >= request.nowMs - Number(table.retentionMs))
      remove(table, young === -1 ? chunks : chunks.slice(0, young))
    }
    while (chunksLeft > 0 && usedBytes(log) > request.retentionBytes) {
      const victim = withOldestChunk(log, floors)
      if (victim === null) break
      remove(victim, oldest(log, victim, floors, Math.min(chunksLeft, CHUNKS_PER_PRESSURE_STEP)))
    }
  })
  const shrinking = shrink(log)
  return {
    starts: [...starts].map(([partitionId, start]) => ({ partitionId, start })),
    more: chunksLeft === 0 || shrinking,
  }

  function remove(table: PartitionTable, chunks: readonly Chunk[]): void {
    const last = chunks.at(-1)?.last
    if (last === undefined) return
    const { database } = log.file
    database.prepare(`DELETE FROM chunk_${table.id} WHERE last <= ?`).run(last)
    database.prepare('UPDATE partition SET start = ? WHERE id = ?').run(last + 1, table.id)
    table.start = last + 1
    starts.set(table.id, last + 1)
    chunksLeft -= chunks.length
  }
}

const CHUNKS_PER_STEP = 512
const CHUNKS_PER_PRESSURE_STEP = 64
const PAGES_PER_STEP = 512
/** Free pages are used again by the next appends, so only a large share of them is given back to the disk. */
const FREE_SHARE_KEPT = 0.25

interface Chunk {
  readonly last: number
  readonly timestampMs: number
}

/** By partition, the first offset that some group has not finished. */
function floorsOf(log: LogFile): Map<number, number> {
  const rows = log.file.database.prepare('SELECT partition_id, min(watermark) AS floor FROM position GROUP BY 1').all()
  return new Map(rows.map((row) => [Number(row.partition_id), Number(row.floor)]))
}

/** The first chunks that every group has finished. */
function oldest(log: LogFile, table: PartitionTable, floors: Map<number, number>, chunksMax: number): Chunk[] {
  const rows = log.file.database
    .prepare(`SELECT last, timestamp_ms FROM chunk_${table.id} WHERE last < ? ORDER BY last LIMIT ?`)
    .all(floors.get(table.id) ?? Number.MAX_SAFE_INTEGER, chunksMax)
  return rows.map((row) => ({ last: Number(row.last), timestampMs: Number(row.timestamp_ms) }))
}

function withOldestChunk(log: LogFile, floors: Map<number, number>): PartitionTable | null {
  let found: PartitionTable | null = null
  let foundMs = Number.POSITIVE_INFINITY
  for (const table of log.tables.values()) {
    if (table.retentionMs === 'forever') continue
    const first = oldest(log, table, floors, 1)[0]
    if (first === undefined || first.timestampMs >= foundMs) continue
    found = table
    foundMs = first.timestampMs
  }
  return found
}

/** Whether there is more to shrink. */
function shrink(log: LogFile): boolean {
  const free = pragma(log, 'freelist_count')
  if (free < PAGES_PER_STEP || free < pragma(log, 'page_count') * FREE_SHARE_KEPT) return false
  log.file.database.exec(`PRAGMA incremental_vacuum(${PAGES_PER_STEP})`)
  return true
}

function usedBytes(log: LogFile): number {
  return (pragma(log, 'page_count') - pragma(log, 'freelist_count')) * pragma(log, 'page_size')
}

function pragma(log: LogFile, name: string): number {
  return Number(log.file.database.prepare(`PRAGMA ${name}`).get()![name])
}
