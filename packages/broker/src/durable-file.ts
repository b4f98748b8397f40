import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Files that are there whole or not at all, and are still there when the power went. */

/** Writes beside the place, flushes, moves, flushes the folder. One writer for each `path`. */
export async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  await writeWhole(`${path}.new`, path, content)
  await flushFolder(dirname(path))
}

/**
 * The same for who flushes the folder itself. `temporary` is on the same file system and nobody else's; what a crash left there
 * is written over.
 */
export async function writeWhole(temporary: string, path: string, content: string | Uint8Array): Promise<void> {
  try {
    const file = await open(temporary, 'w')
    try {
      await file.writeFile(content)
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (thrown) {
    await rm(temporary, { force: true }).catch(() => {})
    throw thrown
  }
}

/** Flushes the names in a folder: a file that was made, moved or linked there is found after a power loss only then. */
export async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } catch (thrown) {
    // Not every file system flushes folders (network shares, Windows); those keep their names by themselves.
    if (!FOLDER_FLUSH_UNKNOWN.has(codeOf(thrown) ?? '')) throw thrown
  } finally {
    await folder.close()
  }
}

/** Null when there is no such file. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return null
    throw thrown
  }
}

/** 'ENOENT', say; undefined for what no system call threw. */
export function codeOf(thrown: unknown): string | undefined {
  return (thrown as NodeJS.ErrnoException | null)?.code
}

const FOLDER_FLUSH_UNKNOWN: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR'])
