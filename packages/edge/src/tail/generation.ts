import { type FileHandle, open } from 'node:fs/promises'
import type { Followed } from './followed.ts'
import { HEAD_BYTES, hashOf } from './head.ts'
import type { SavedGeneration } from './positions.ts'

/** One file for as long as we hold it open, whatever it is called by then. */
export class Generation implements Followed {
  readonly inode: string
  readonly epoch: string
  shippedOffset: number
  readOffset: number
  idleSize = -1
  activeMs: number
  readonly isDamaged = false
  readonly #file: FileHandle
  #head: Buffer

  private constructor(file: FileHandle, inode: string, epoch: string, offset: number, head: Buffer, nowMs: number) {
    this.#file = file
    this.inode = inode
    this.epoch = epoch
    this.shippedOffset = offset
    this.readOffset = offset
    this.activeMs = nowMs
    this.#head = head
  }

  /** A file that nobody has read yet, at its begin or end; null when it has gone. */
  static async begin(path: string, epoch: string, nowMs: number, at: 'start' | 'end'): Promise<Generation | null> {
    const file = await openIfThere(path)
    if (file === null) return null
    return closedOnError(file, async () => {
      const { ino, size } = await file.stat({ bigint: true })
      const offset = at === 'start' ? 0 : Number(size)
      return new Generation(file, String(ino), epoch, offset, await readHead(file, Number(size)), nowMs)
    })
  }

  /** The file of a saved position, if that is what stands at `path`: the same inode with the same begin. */
  static async resume(path: string, saved: SavedGeneration, nowMs: number): Promise<Generation | null> {
    const file = await openIfThere(path)
    if (file === null) return null
    return closedOnError(file, async () => {
      const { ino } = await file.stat({ bigint: true })
      const head = await readHead(file, saved.headBytes)
      if (String(ino) !== saved.inode || head.length !== saved.headBytes || hashOf(head) !== saved.head) {
        await file.close()
        return null
      }
      return new Generation(file, saved.inode, saved.epoch, saved.offset, head, nowMs)
    })
  }

  async size(): Promise<number> {
    return (await this.#file.stat()).size
  }

  async read(bytesMax: number): Promise<Buffer | null> {
    const buffer = Buffer.allocUnsafeSlow(bytesMax)
    const { bytesRead } = await this.#file.read(buffer, 0, bytesMax, this.readOffset)
    // Looked at afterwards: what was read before a cut is what we think it is.
    return (await this.#isCut()) ? null : buffer.subarray(0, bytesRead)
  }

  async isWithinLine(): Promise<boolean> {
    if (this.readOffset === 0) return false
    const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(1), 0, 1, this.readOffset - 1)
    return bytesRead === 1 && buffer[0] !== NEWLINE
  }

  async learnHead(): Promise<void> {
    if (this.#head.length < Math.min(HEAD_BYTES, this.readOffset))
      this.#head = await readHead(this.#file, this.readOffset)
  }

  saved(done = false): SavedGeneration {
    const { inode, epoch, shippedOffset: offset } = this
    const size = Math.max(this.readOffset, this.idleSize)
    return { inode, epoch, offset, size, head: hashOf(this.#head), headBytes: this.#head.length, done }
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #isCut(): Promise<boolean> {
    if ((await this.size()) < this.readOffset) return true
    return !(await readHead(this.#file, this.#head.length)).equals(this.#head)
  }
}

const NEWLINE = 10

async function readHead(file: FileHandle, bytesMax: number): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.min(HEAD_BYTES, bytesMax))
  if (buffer.length === 0) return buffer
  const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
  return buffer.subarray(0, bytesRead)
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw thrown
  }
}

async function closedOnError<Made>(file: FileHandle, make: () => Promise<Made>): Promise<Made> {
  try {
    return await make()
  } catch (thrown) {
    await file.close()
    throw thrown
  }
}
