import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'

/** Files that are there whole or not at all, and stay when the power goes. */

/** Writes beside the place, flushes, moves: nobody ever sees half of it. `temporary` is on the same file system. */
export async function writeDurably(temporary: string, path: string, bytes: Uint8Array): Promise<void> {
  try {
    const file = await open(temporary, 'wx')
    try {
      await file.writeFile(bytes)
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

/** Flushes the names in a folder: a file that was moved or linked there is found after a power loss only then. */
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

/** Null when there is no such file, or it has another length. */
export async function readOfLength(path: string, bytes: number): Promise<Uint8Array | null> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return null
    throw thrown
  }
  try {
    if ((await file.stat()).size !== bytes) return null
    return await file.readFile()
  } finally {
    await file.close()
  }
}

export async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return false
    throw thrown
  }
}

export function codeOf(thrown: unknown): string | undefined {
  return (thrown as NodeJS.ErrnoException | null)?.code
}

const FOLDER_FLUSH_UNKNOWN: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR'])
