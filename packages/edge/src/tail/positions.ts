import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock, Timer } from '@forebay/broker'
import { readIfThere, writeDurably } from '@forebay/broker/durable-file'
import { ForebayError } from '@forebay/protocol'

/** How far one file has come, of one path: the one that is there, or one that was rotated away. */
export interface SavedGeneration {
  readonly inode: string
  readonly epoch: string
  /** Everything before it is in the log. */
  readonly offset: number
  /** Its size when it was last looked at. */
  readonly size: number
  /** SHA-256 of its first `headBytes` bytes: an inode alone may have been given to another file. */
  readonly head: string
  readonly headBytes: number
  /** It was read to its end and let go. */
  readonly done: boolean
}

interface Saved {
  readonly v: 1
  /** Wall time; files that were written later may be unknown. */
  readonly savedMs: number
  readonly files: Readonly<Record<string, readonly SavedGeneration[]>>
}

/**
 * The positions of all tails in one file, written whole. A position is told here only once the log has everything before
 * it, so a crash makes rows come again and never leaves one out.
 */
export class Positions {
  readonly savedMs: number | null
  readonly #path: string
  readonly #clock: Clock
  readonly #files: Map<string, readonly SavedGeneration[]>
  readonly #onFailure: (cause: unknown) => void
  #timer: Timer | null = null
  #writing: Promise<void> = Promise.resolve()
  #dirty = false

  private constructor(path: string, clock: Clock, saved: Saved | null, onFailure: (cause: unknown) => void) {
    this.#path = path
    this.#clock = clock
    this.#onFailure = onFailure
    this.#files = new Map(Object.entries(saved?.files ?? {}))
    this.savedMs = saved?.savedMs ?? null
  }

  /** Throws DATA_CORRUPT for a file that nobody of us wrote. `onFailure` hears of saves in the background that failed. */
  static async open(path: string, clock: Clock, onFailure: (cause: unknown) => void): Promise<Positions> {
    await mkdir(dirname(path), { recursive: true })
    const text = await readIfThere(path)
    return new Positions(path, clock, text === null ? null : parseSaved(text, path), onFailure)
  }

  /** Whether this path has been followed before, with a file there or not. */
  knows(path: string): boolean {
    return this.#files.has(path)
  }

  of(path: string): readonly SavedGeneration[] {
    return this.#files.get(path) ?? []
  }

  /** Saved within `SAVE_MS`. */
  set(path: string, generations: readonly SavedGeneration[]): void {
    this.#files.set(path, generations)
    this.#dirty = true
    this.#timer ??= this.#clock.timer(SAVE_MS, () => {
      this.#timer = null
      this.save().catch(this.#onFailure)
    })
  }

  /** Resolves when everything set so far is on the disk. */
  save(): Promise<void> {
    const saved = this.#writing.then(async () => {
      if (!this.#dirty) return
      this.#dirty = false
      const content: Saved = { v: 1, savedMs: this.#clock.wallMs(), files: Object.fromEntries(this.#files) }
      await writeDurably(this.#path, JSON.stringify(content)).catch((thrown) => {
        this.#dirty = true
        throw thrown
      })
    })
    this.#writing = saved.catch(() => {})
    return saved
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = null
    await this.save()
  }
}

/** More often costs flushes of the disk; less often means more repeats after a crash. */
const SAVE_MS = 200

function parseSaved(text: string, path: string): Saved {
  try {
    const saved = JSON.parse(text) as Saved
    if (saved.v === 1 && typeof saved.savedMs === 'number' && typeof saved.files === 'object') return saved
  } catch {
    // Said below.
  }
  throw new ForebayError(
    'DATA_CORRUPT',
    `${path} does not hold the positions of a collector; move it away to read all files anew.`,
  )
}
