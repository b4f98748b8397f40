import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ForebayError } from '@forebay/protocol/errors'

export interface SqliteFile {
  readonly database: DatabaseSync
  /** Writes the WAL back, lets go of the file and removes the owner file. Safe to call twice. */
  close(): void
}

/**
 * Opens or makes an SQLite file for this process alone, every commit on the disk before it returns (WAL,
 * `synchronous=FULL`). Blocks: call it in a worker thread. Folders above it are made.
 *
 * The lock on the file decides who owns it; `<path>.owner` only tells the loser the process id of the owner, so one
 * left by a crash is in nobody's way. Nothing else in this process may open the file: closing any other descriptor
 * of it would drop the lock (POSIX).
 *
 * Throws DATA_IN_USE (names folder and owner), DATA_CORRUPT, CONFIG_INVALID (the folder cannot be written).
 */
export function openSqliteFile(path: string): SqliteFile {
  const file = resolve(path)
  const ownerFile = `${file}.owner`
  let database: DatabaseSync | null = null
  try {
    makeFolder(dirname(file))
    database = new DatabaseSync(file)
    database.exec(PRAGMAS)
    database.exec('BEGIN IMMEDIATE; COMMIT')
    writeFileSync(ownerFile, `${process.pid}\n`)
  } catch (error) {
    database?.close()
    throw explainSqliteError(error, file)
  }
  const opened = database
  return {
    database: opened,
    close() {
      if (!opened.isOpen) return
      rmSync(ownerFile, { force: true })
      opened.close()
    },
  }
}

/**
 * What an error of SQLite means for the owner of the file, as DATA_IN_USE, DATA_CORRUPT or CONFIG_INVALID; errors that
 * are not SQLite's or the file system's come back unchanged.
 */
export function explainSqliteError(error: unknown, file: string): unknown {
  const folder = dirname(file)
  const code = sqliteCodeOf(error)
  if (code === SQLITE_BUSY) {
    const pid = ownerOf(`${file}.owner`)
    const owner = pid === null ? 'another process' : `the process with pid ${pid}`
    return new ForebayError(
      'DATA_IN_USE',
      `The data folder ${folder} is in use by ${owner}: stop it, or give this one a folder of its own.`,
      { members: { folder, ...(pid === null ? {} : { pid }) }, cause: error },
    )
  }
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB) {
    return new ForebayError(
      'DATA_CORRUPT',
      `${file} is damaged or is not an SQLite file (${messageOf(error)}): restore it from a backup, or move it away to start empty.`,
      { members: { file }, cause: error },
    )
  }
  if (code !== null || isFileSystemError(error)) {
    return new ForebayError(
      'CONFIG_INVALID',
      `The data folder ${folder} cannot be used (${messageOf(error)}): name a folder that this user may write to, on a disk that has room.`,
      { members: { folder }, cause: error },
    )
  }
  return error
}

/** SQLite's primary result code of an error of node:sqlite, also after it has crossed threads; null for any other. */
export function sqliteCodeOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return null
  return error.errcode & 0xff
}

export const SQLITE_BUSY = 5
export const SQLITE_CORRUPT = 11
export const SQLITE_FULL = 13
export const SQLITE_NOTADB = 26

/**
 * Exclusive locking comes before WAL, so that the WAL's index lives in memory and the lock is held from the first
 * access on. `fullfsync` is what macOS needs for a flush that survives power loss; elsewhere it does nothing.
 * The WAL is written back every 4 MiB (more at once stalls appends for longer), and cut to 16 MiB after a burst.
 */
const PRAGMAS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA auto_vacuum = INCREMENTAL;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA fullfsync = 1;
  PRAGMA checkpoint_fullfsync = 1;
  PRAGMA wal_autocheckpoint = 1000;
  PRAGMA journal_size_limit = 16777216;
  PRAGMA cache_size = -16384;
  PRAGMA temp_store = MEMORY;
`

/** A new folder is only there after a power loss when its parent's entry has been flushed. */
function makeFolder(folder: string): void {
  const firstMade = mkdirSync(folder, { recursive: true })
  if (firstMade === undefined || process.platform === 'win32') return
  for (let made = folder; made.length >= firstMade.length; made = dirname(made)) {
    const parent = openSync(dirname(made), 'r')
    fsyncSync(parent)
    closeSync(parent)
  }
}

function ownerOf(ownerFile: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(ownerFile, 'utf8'), 10)
    return Number.isSafeInteger(pid) ? pid : null
  } catch {
    return null
  }
}

function isFileSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
