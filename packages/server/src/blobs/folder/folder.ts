import { hash } from 'node:crypto'
import { link, mkdir, readdir, rm, rmdir, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf, flushFolder, writeWhole } from '@forebay/broker/durable-file'
import { ForebayError } from '@forebay/protocol'
import type { BlobRef } from '../../task.ts'
import { blobDamaged, blobMissing, blobsClosed, blobUnavailable } from '../blob-errors.ts'
import type { BlobCapabilities, BlobStore, SweptBlobs } from '../blob-store.ts'
import { isWhatItNames, refOf } from '../digest.ts'
import { newestFirst, Periods } from '../periods.ts'
import { type FolderBlobsOptions, type ResolvedFolderBlobs, resolveFolderBlobs } from './options.ts'
import { isThere, readOfLength } from './read-blob.ts'

/**
 * Blobs as files: `<dir>/<period>/<sha256>`, pins as hard links in `<dir>/pinned/<sha256>/`, what is being written in
 * `<dir>/tmp/`.
 */
export function folderBlobs(options: FolderBlobsOptions): BlobStore {
  return new FolderBlobs(resolveFolderBlobs(options))
}

const PINNED = 'pinned'
const TEMPORARY = 'tmp'
/** Older ones are left from a crash. ms */
const TEMPORARY_MAX_MS = 60 * 60 * 1000
/** Folders that are remembered as made. */
const MADE_MAX = 100
/** How often others may take a folder of pins away while one is made in it. */
const PIN_TRIES_MAX = 10

class FolderBlobs implements BlobStore {
  readonly capabilities: BlobCapabilities = {
    name: 'folder',
    durability: 'Flushed to the disk of the folder: a crash of the process, and the power loss of that machine.',
  }
  readonly #options: ResolvedFolderBlobs
  readonly #periods: Periods
  #phase: 'new' | 'open' | 'closed' = 'new'
  readonly #open = new Set<Promise<unknown>>()
  /** The periods whose folders are known to be there. */
  readonly #made = new Set<string>()

  constructor(options: ResolvedFolderBlobs) {
    this.#options = options
    this.#periods = new Periods(options.clock, options.keepMs)
  }

  async open(): Promise<void> {
    if (this.#phase !== 'new') throw new ForebayError('CLOSED', 'open: these blobs were opened before.')
    const { dir } = this.#options
    try {
      await mkdir(join(dir, TEMPORARY), { recursive: true })
      await mkdir(join(dir, PINNED), { recursive: true })
      await flushFolder(dir)
    } catch (thrown) {
      const message = `blobs.place: the folder ${dir} cannot be used (${codeOf(thrown)}). Name one that can be written.`
      throw new ForebayError('CONFIG_INVALID', message, { cause: thrown })
    }
    this.#phase = 'open'
  }

  put(bytes: Uint8Array, atLeastMs = 0): Promise<BlobRef> {
    return this.#run(async () => {
      const ref = await refOf(bytes)
      await this.#keep(ref, bytes, atLeastMs)
      return ref
    })
  }

  get(ref: BlobRef): Promise<Uint8Array> {
    return this.#run(async () => {
      const { dir } = this.#options
      const young = await this.#read(join(dir, this.#periods.current(), ref.sha256), ref)
      if (young.kind === 'whole') return young.bytes
      let damaged = young.kind === 'damaged'
      for (const path of await this.#copies(ref)) {
        const found = await this.#read(path, ref)
        if (found.kind === 'whole') return found.bytes
        damaged ||= found.kind === 'damaged'
      }
      throw damaged ? blobDamaged(ref) : blobMissing(ref)
    })
  }

  pin(ref: BlobRef, name: string): Promise<void> {
    return this.#run(async () => {
      const folder = join(this.#options.dir, PINNED, ref.sha256)
      for (let tries = 1; ; tries++) {
        try {
          return await this.#pin(ref, folder, pinFile(name))
        } catch (thrown) {
          // Somebody took the last pin out of the folder, and the folder away, between two of our steps.
          if (codeOf(thrown) !== 'ENOENT' || tries === PIN_TRIES_MAX) throw thrown
        }
      }
    })
  }

  unpin(ref: BlobRef, name: string): Promise<void> {
    return this.#run(async () => {
      const folder = join(this.#options.dir, PINNED, ref.sha256)
      await rm(join(folder, pinFile(name)), { force: true })
      await rmdir(folder).catch((thrown: unknown) => {
        if (!STILL_IN_USE.has(codeOf(thrown) ?? '')) throw thrown
      })
    })
  }

  sweep(): Promise<SweptBlobs> {
    return this.#run(async () => {
      const { dir } = this.#options
      let removed = 0
      for (const period of await namesIn(dir)) {
        if (this.#phase !== 'open' || !this.#periods.is(period) || !this.#periods.isOver(period)) continue
        for (const name of await namesIn(join(dir, period))) {
          removed += (await removeIfThere(join(dir, period, name))) ? 1 : 0
        }
        await rm(join(dir, period), { recursive: true, force: true })
      }
      return { removed: removed + (await this.#sweepTemporary()) }
    })
  }

  async close(): Promise<void> {
    this.#phase = 'closed'
    await Promise.allSettled(this.#open)
  }

  /** Writes it unless it is there whole already; its name is flushed in either case. */
  async #keep(ref: BlobRef, bytes: Uint8Array, atLeastMs: number): Promise<void> {
    const { dir } = this.#options
    for (let tries = 1; ; tries++) {
      const folder = await this.#folderOf(this.#periods.keeping(atLeastMs))
      const path = join(folder, ref.sha256)
      try {
        const there = await readOfLength(path, ref.bytes)
        if (there === null || Buffer.compare(there, bytes) !== 0) {
          await writeWhole(join(dir, TEMPORARY, this.#newName()), path, bytes)
        }
        return await flushFolder(folder)
      } catch (thrown) {
        // Somebody cleaned up by hand: the folder is made again, once.
        if (codeOf(thrown) !== 'ENOENT' || tries > 1) throw thrown
        this.#made.clear()
      }
    }
  }

  async #folderOf(period: string): Promise<string> {
    const { dir } = this.#options
    const folder = join(dir, period)
    if (!this.#made.has(period)) {
      await mkdir(join(dir, TEMPORARY), { recursive: true })
      await mkdir(folder, { recursive: true })
      await flushFolder(dir)
      if (this.#made.size >= MADE_MAX) this.#made.clear()
      this.#made.add(period)
    }
    return folder
  }

  async #read(path: string, ref: BlobRef): Promise<Found> {
    const bytes = await readOfLength(path, ref.bytes)
    if (bytes === null) return { kind: (await isThere(path)) ? 'damaged' : 'absent' }
    return (await isWhatItNames(ref, bytes)) ? { kind: 'whole', bytes } : { kind: 'damaged' }
  }

  /** Where it may be, younger places first. */
  async #copies({ sha256 }: BlobRef): Promise<readonly string[]> {
    const { dir } = this.#options
    const periods = (await namesIn(dir)).filter((name) => this.#periods.is(name))
    const pins = await namesIn(join(dir, PINNED, sha256))
    return [
      ...newestFirst(periods).map((period) => join(dir, period, sha256)),
      ...pins.map((pin) => join(dir, PINNED, sha256, pin)),
    ]
  }

  /** Throws ENOENT when the folder vanishes meanwhile. */
  async #pin(ref: BlobRef, folder: string, name: string): Promise<void> {
    await mkdir(folder, { recursive: true })
    if (!(await this.#linkCopy(ref, join(folder, name)))) {
      await rmdir(folder).catch(() => {})
      throw blobMissing(ref)
    }
    await flushFolder(folder)
    await flushFolder(join(folder, '..'))
  }

  /** False when there is no copy to link. */
  async #linkCopy(ref: BlobRef, path: string): Promise<boolean> {
    for (const copy of await this.#copies(ref)) {
      try {
        await link(copy, path)
        return true
      } catch (thrown) {
        if (codeOf(thrown) === 'EEXIST') return true
        if (codeOf(thrown) !== 'ENOENT' || !(await isThere(dirname(path)))) throw thrown
      }
    }
    return isThere(path)
  }

  async #sweepTemporary(): Promise<number> {
    const folder = join(this.#options.dir, TEMPORARY)
    let removed = 0
    for (const name of await namesIn(folder)) {
      const path = join(folder, name)
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
      if (this.#options.clock.wallMs() - mtimeMs > TEMPORARY_MAX_MS) removed += (await removeIfThere(path)) ? 1 : 0
    }
    return removed
  }

  #newName(): string {
    const bytes = Buffer.alloc(12)
    this.#options.random.fill(bytes)
    return bytes.toString('hex')
  }

  async #run<Value>(act: () => Promise<Value>): Promise<Value> {
    if (this.#phase !== 'open') throw blobsClosed()
    const acting = act()
    this.#open.add(acting)
    try {
      return await acting
    } catch (thrown) {
      throw thrown instanceof ForebayError ? thrown : blobUnavailable(this.#options.dir, thrown)
    } finally {
      this.#open.delete(acting)
    }
  }
}

type Found = { readonly kind: 'whole'; readonly bytes: Uint8Array } | { readonly kind: 'damaged' | 'absent' }

const STILL_IN_USE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTEMPTY', 'EEXIST'])

/** Names of pins hold characters and lengths that file systems do not take. */
function pinFile(name: string): string {
  return hash('sha256', name).slice(0, 40)
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return []
    throw thrown
  }
}

/** False when somebody else's sweep was faster. */
async function removeIfThere(path: string): Promise<boolean> {
  try {
    await unlink(path)
    return true
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return false
    throw thrown
  }
}
