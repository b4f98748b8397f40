import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '@forebay/broker'
import { openSqliteFile } from '@forebay/broker/embedded'
import { Catalogue, cataloguePath } from './catalogue.ts'
import { Compaction } from './compaction.ts'
import { loadDuck, openDuck } from './duck.ts'
import type { LogEngine, LogStoreOptions } from './log-store.ts'
import { type IncomingRow, ParquetWriter, parquetFolder, parquetPath, temporaryFolder } from './parquet-writer.ts'
import { Sieve } from './sieve.ts'

/**
 * Parquet files of one process: files first, then one transaction that lists them with the places of their rows. What was
 * written and not listed is swept away at the next start, and comes again.
 */
export async function openFileEngine(options: LogStoreOptions, clock: Clock): Promise<LogEngine> {
  const duck = await loadDuck()
  const { dir } = options
  const hold = openSqliteFile(join(dir, 'writer'))
  let catalogue: Catalogue | null = null
  try {
    catalogue = await Catalogue.open(cataloguePath(dir), 'write')
    await sweep(dir, catalogue)
    const { instance, connection } = await openDuck(duck, {
      threads: WRITER_THREADS,
      memoryBytes: WRITER_MEMORY_BYTES,
      spillDir: temporaryFolder(dir),
    })
    let id = catalogue.lastId
    const nextId = () => ++id
    const merging = await instance.connect()
    const writer = new ParquetWriter(duck, connection, dir, nextId)
    const compaction = new Compaction({ connection: merging, catalogue, options, clock, nextId })
    const known = catalogue
    const sieve = new Sieve(known)
    return {
      keep: (rows) => keep(rows, { dir, sieve, writer, catalogue: known, clock }),
      tidy: (signal) => compaction.run(signal),
      async close() {
        connection.closeSync()
        merging.closeSync()
        instance.closeSync()
        known.close()
        hold.close()
      },
    }
  } catch (thrown) {
    catalogue?.close()
    hold.close()
    throw thrown
  }
}

interface KeepParts {
  readonly dir: string
  readonly sieve: Sieve
  readonly writer: ParquetWriter
  readonly catalogue: Catalogue
  readonly clock: Clock
}

async function keep(incoming: readonly IncomingRow[], { dir, sieve, writer, catalogue, clock }: KeepParts) {
  const sifting = sieve.begin()
  const rows = incoming.filter((row) => sifting.isNew(row))
  if (rows.length > 0) {
    const files = await writer.write(rows)
    try {
      catalogue.add(files, sifting.taken, clock.wallMs())
    } catch (thrown) {
      for (const file of files) await rm(parquetPath(dir, file), { force: true })
      throw thrown
    }
  }
  sifting.commit()
  return rows.length
}

/** What a crash left: files that were being written, or that no list names. */
async function sweep(dir: string, catalogue: Catalogue): Promise<void> {
  await rm(temporaryFolder(dir), { recursive: true, force: true })
  await mkdir(temporaryFolder(dir), { recursive: true })
  await mkdir(parquetFolder(dir), { recursive: true })
  const known = new Set(catalogue.everyId())
  for (const entry of await readdir(parquetFolder(dir), { recursive: true, withFileTypes: true })) {
    const id = /^(\d+)\.parquet$/.exec(entry.name)?.[1]
    if (entry.isFile() && id !== undefined && !known.has(Number(id))) await rm(join(entry.parentPath, entry.name))
  }
}

const WRITER_THREADS = 2
const WRITER_MEMORY_BYTES = 512 * 1024 * 1024
