import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

export interface Sibling {
  readonly path: string
  readonly inode: string
  readonly modifiedMs: number
  /** Whoever rotates has packed it: its inode is a new one, and its bytes are not the log's. */
  readonly packing: Packing | null
}

type Packing = 'gz' | 'zst' | 'other'

/** Where the file may have been rotated to: files beside it whose names begin with its own; oldest first. */
export async function siblingsOf(path: string): Promise<Sibling[]> {
  const [folder, name] = [dirname(path), basename(path)]
  const names = await readdir(folder).catch(() => [])
  const found: Sibling[] = []
  for (const other of names) {
    if (other === name || !other.startsWith(name)) continue
    const known = await stat(join(folder, other), { bigint: true }).catch(() => null)
    if (known === null || !known.isFile()) continue
    found.push({
      path: join(folder, other),
      inode: String(known.ino),
      modifiedMs: Number(known.mtimeMs),
      packing: packingOf(other),
    })
  }
  return found.sort((one, other) => one.modifiedMs - other.modifiedMs)
}

/** By its name; other: one that Node cannot unpack. */
export function packingOf(path: string): Packing | null {
  const [, ending] = /\.(gz|zst|bz2|xz|lz4|Z)$/.exec(path) ?? []
  if (ending === undefined) return null
  return ending === 'gz' || ending === 'zst' ? ending : 'other'
}

/** Null where there is nothing. */
export async function inodeOf(path: string): Promise<string | null> {
  const known = await stat(path, { bigint: true }).catch(() => null)
  return known === null ? null : String(known.ino)
}
