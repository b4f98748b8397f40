import { rm, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { Clock } from '@forebay/broker'
import type { Catalogue, LogFile } from './catalogue.ts'
import { sqlText } from './duck.ts'
import { parquetPath, writeParquet } from './parquet-writer.ts'

interface CompactionParts {
  readonly connection: DuckDBConnection
  readonly catalogue: Catalogue
  readonly options: { readonly dir: string; readonly retentionMs: number; readonly bytesMax: number }
  readonly clock: Clock
  readonly nextId: () => number
}

/** Few large files instead of many small ones, and none that are too old or too many. */
export class Compaction {
  readonly #parts: CompactionParts

  constructor(parts: CompactionParts) {
    this.#parts = parts
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#retire()
    for (const group of mergeable(this.#parts.catalogue.files(), this.#parts.clock.wallMs())) {
      if (signal.aborted) return
      await this.#merge(group)
    }
    await this.#unlink()
    const { catalogue, clock } = this.#parts
    catalogue.forgetPlacesBefore(clock.wallMs() - PLACES_KEPT_MS)
  }

  async #merge(group: readonly LogFile[]): Promise<void> {
    const { connection, catalogue, options, clock, nextId } = this.#parts
    const { table, hour } = group[0]!
    const id = nextId()
    const paths = group.map((file) => sqlText(parquetPath(options.dir, file))).join(', ')
    const select = `SELECT * FROM read_parquet([${paths}], union_by_name = true)`
    const bytes = await writeParquet(connection, options.dir, { id, table, hour }, select)
    const rows = group.reduce((sum, file) => sum + file.rows, 0)
    const firstMs = Math.min(...group.map((file) => file.firstMs))
    const lastMs = Math.max(...group.map((file) => file.lastMs))
    const merged = { id, table, hour, rows, bytes, firstMs, lastMs, isFresh: false }
    catalogue.replace(group, merged, clock.wallMs())
  }

  #retire(): void {
    const { catalogue, options, clock } = this.#parts
    const nowMs = clock.wallMs()
    const byAge = [...catalogue.files()].sort((one, other) => (one.hour < other.hour ? -1 : 1))
    let bytes = byAge.reduce((sum, file) => sum + file.bytes, 0)
    const retired: LogFile[] = []
    let lastHour = ''
    for (const file of byAge) {
      const isOver = hourMs(file.hour) + HOUR_MS <= nowMs - options.retentionMs
      if (!isOver && bytes <= options.bytesMax && file.hour !== lastHour) break
      if (!isOver && bytes > options.bytesMax) lastHour = file.hour
      retired.push(file)
      bytes -= file.bytes
    }
    if (retired.length > 0) catalogue.remove(retired, nowMs)
  }

  async #unlink(): Promise<void> {
    const { catalogue, options, clock } = this.#parts
    const gone = catalogue.removedBefore(clock.wallMs() - UNLINK_AFTER_MS)
    for (const file of gone) {
      const path = parquetPath(options.dir, file)
      await rm(path, { force: true })
      await rmdir(dirname(path)).catch(() => {})
    }
    if (gone.length > 0) catalogue.forget(gone)
  }
}

/**
 * Of each table and hour, the smallest files, as long as the next is not larger than all before it together: so a row is
 * copied a few times and not with every merge. Eight at least; of an hour that is over, two.
 */
export function mergeable(files: readonly LogFile[], nowMs: number): LogFile[][] {
  const groups = Map.groupBy(files, ({ table, hour }) => `${table}/${hour}`)
  return [...groups.values()].flatMap((inHour) => {
    const isOver = hourMs(inHour[0]!.hour) + HOUR_MS + SETTLE_MS <= nowMs
    const chosen: LogFile[] = []
    let bytes = 0
    for (const file of [...inHour].sort((one, other) => one.bytes - other.bytes)) {
      const isFitting = chosen.length < 2 || file.bytes <= bytes + SMALL_BYTES
      if (!isFitting || bytes + file.bytes > MERGED_BYTES_MAX || chosen.length === MERGED_FILES_MAX) break
      chosen.push(file)
      bytes += file.bytes
    }
    if (chosen.length < (isOver ? 2 : MERGED_FILES_LEAST)) return []
    return [chosen.sort((one, other) => one.id - other.id)]
  })
}

function hourMs(hour: string): number {
  return Date.parse(`${hour}:00:00Z`)
}

const HOUR_MS = 3_600_000
/** After the end of an hour, for rows that are on their way. */
const SETTLE_MS = 60_000
const SMALL_BYTES = 1024 * 1024
const MERGED_FILES_LEAST = 8
const MERGED_FILES_MAX = 256
const MERGED_BYTES_MAX = 128 * 1024 * 1024
/** Longer than any query may take: one that began before a merge reads the files it began with. */
const UNLINK_AFTER_MS = 900_000
/** How long it is known what has come. Nothing that was in the log so long ago is still there. */
const PLACES_KEPT_MS = 30 * 86_400_000
