import { type FileHandle, open } from 'node:fs/promises'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { codeOf } from '@forebay/broker/durable-file'
import type { Followed } from './followed.ts'
import { HEAD_BYTES, hashOf } from './head.ts'
import type { SavedGeneration } from './positions.ts'
import { packingOf } from './siblings.ts'

/**
 * A file that was packed after it was rotated away: a new inode and other bytes, and unpacked the same ones. It is read from its
 * begin in one go, a piece at a time, since nobody can step into the middle of it.
 */
export class PackedGeneration implements Followed {
  readonly inode: string
  readonly epoch: string
  shippedOffset: number
  readOffset: number
  idleSize = -1
  activeMs: number
  readonly #packedBytes: number
  readonly #unpacked: Unpacked
  readonly #head: Pick<SavedGeneration, 'head' | 'headBytes'>

  private constructor(
    opened: Opened,
    from: Pick<SavedGeneration, 'epoch' | 'offset' | 'head' | 'headBytes'>,
    nowMs: number,
  ) {
    this.inode = opened.inode
    this.epoch = from.epoch
    this.shippedOffset = from.offset
    this.readOffset = from.offset
    this.activeMs = nowMs
    this.#packedBytes = opened.bytes
    this.#unpacked = opened.unpacked
    this.#head = from
  }

  /** One that nobody has read yet, from its begin; null when it has gone, or not even its first bytes can be unpacked. */
  static async begin(path: string, epoch: string, nowMs: number): Promise<PackedGeneration | null> {
    const opened = await openPacked(path)
    if (opened === null) return null
    const { head } = opened
    return new PackedGeneration(opened, { epoch, offset: 0, head: hashOf(head), headBytes: head.length }, nowMs)
  }

  /** The file of a saved position, if unpacked it begins as that did. */
  static async resume(path: string, saved: SavedGeneration, nowMs: number): Promise<PackedGeneration | null> {
    const opened = await openPacked(path)
    if (opened === null) return null
    if (beginsAs(opened.head, saved)) return new PackedGeneration(opened, saved, nowMs)
    await opened.unpacked.close()
    return null
  }

  get isDamaged(): boolean {
    return this.#unpacked.damaged
  }

  /** Of what is unpacked; before its end is known, a guess that is too small. */
  async size(): Promise<number> {
    return this.#unpacked.end ?? this.readOffset + this.#packedBytes
  }

  /** Null when the rest is damaged. */
  async read(bytesMax: number): Promise<Buffer | null> {
    const bytes = await this.#unpacked.from(this.readOffset, bytesMax)
    return bytes.length === 0 && this.isDamaged ? null : bytes
  }

  async isWithinLine(): Promise<boolean> {
    return this.readOffset > 0 && (await this.#unpacked.byteBefore(this.readOffset)) !== NEWLINE
  }

  async learnHead(): Promise<void> {}

  saved(done = false): SavedGeneration {
    const { inode, epoch, shippedOffset: offset } = this
    const { head, headBytes } = this.#head
    return { inode, epoch, offset, size: Math.max(this.readOffset, this.idleSize), head, headBytes, done }
  }

  close(): Promise<void> {
    return this.#unpacked.close()
  }
}

/** Whether it is the packed form of one that is known. */
export async function isPackedFormOf(path: string, known: readonly SavedGeneration[]): Promise<boolean> {
  const opened = await openPacked(path)
  if (opened === null) return false
  await opened.unpacked.close()
  return known.some((one) => beginsAs(opened.head, one))
}

function beginsAs(head: Buffer, { head: hash, headBytes }: SavedGeneration): boolean {
  return headBytes >= HEAD_BYTES_MIN && head.length >= headBytes && hashOf(head.subarray(0, headBytes)) === hash
}

interface Opened {
  readonly inode: string
  readonly bytes: number
  readonly unpacked: Unpacked
  /** Its first bytes, unpacked; never empty. */
  readonly head: Buffer
}

async function openPacked(path: string): Promise<Opened | null> {
  const unpack = packingOf(path)
  if (unpack !== 'gz' && unpack !== 'zst') return null
  const file = await open(path, 'r').catch((thrown: unknown) => {
    if (NOT_OURS.has(codeOf(thrown) ?? '')) return null
    throw thrown
  })
  if (file === null) return null
  const unpacked = new Unpacked(file, unpack)
  try {
    const { ino, size } = await file.stat({ bigint: true })
    const head = Buffer.from((await unpacked.from(0, HEAD_BYTES)).subarray(0, HEAD_BYTES))
    if (head.length > 0) return { inode: String(ino), bytes: Number(size), unpacked, head }
  } catch (thrown) {
    await unpacked.close()
    throw thrown
  }
  await unpacked.close()
  return null
}

/** The bytes of a packed file, forwards only; holds what was asked for last and a piece more. Closes the file with itself. */
class Unpacked {
  readonly #file: FileHandle
  readonly #stream: Readable
  readonly #pieces: AsyncIterator<Buffer>
  #window: Buffer = Buffer.alloc(0)
  #windowAt = 0
  #byteBefore = -1
  #state: 'open' | 'whole' | 'damaged' = 'open'

  constructor(file: FileHandle, packing: 'gz' | 'zst') {
    this.#file = file
    const options = { chunkSize: PIECE_BYTES, readableHighWaterMark: 1 }
    const unpack = packing === 'gz' ? createGunzip(options) : createZstdDecompress(options)
    const packed = file.createReadStream({ autoClose: false, start: 0 })
    // The reader hears of it.
    this.#stream = pipeline(packed, unpack, () => {})
    this.#pieces = this.#stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  }

  /** Where it ends, once that is known. */
  get end(): number | null {
    return this.#state === 'open' ? null : this.#windowAt + this.#window.length
  }

  get damaged(): boolean {
    return this.#state === 'damaged'
  }

  /** Fewer than `bytesMax` only at the end. Never asked for what lies before the last time. */
  async from(at: number, bytesMax: number): Promise<Buffer> {
    this.#forget(at)
    const pieces = [this.#window]
    let bytes = this.#windowAt + this.#window.length - at
    while (bytes < bytesMax && this.#state === 'open') {
      const piece = await this.#next()
      if (piece === null) break
      bytes += piece.length
      if (bytes > 0) pieces.push(piece)
      else this.#skip(piece)
    }
    this.#window = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    this.#forget(at)
    return this.#window.subarray(0, bytesMax)
  }

  async byteBefore(at: number): Promise<number> {
    await this.from(at, 1)
    return this.#byteBefore
  }

  async close(): Promise<void> {
    if (this.#state === 'open') this.#state = 'whole'
    await this.#pieces.return?.()
    this.#stream.destroy()
    await this.#file.close()
  }

  async #next(): Promise<Buffer | null> {
    try {
      const { done, value } = await this.#pieces.next()
      if (done !== true) return value
      this.#state = 'whole'
    } catch {
      this.#state = 'damaged'
    }
    return null
  }

  #skip(piece: Buffer): void {
    this.#window = piece
    this.#forget(this.#windowAt + piece.length)
  }

  #forget(at: number): void {
    const count = Math.min(at - this.#windowAt, this.#window.length)
    if (count <= 0) return
    this.#byteBefore = this.#window[count - 1]!
    this.#window = this.#window.subarray(count)
    this.#windowAt += count
  }
}

/** Gone, or not for us to read: then it holds nothing up. */
const NOT_OURS: ReadonlySet<string> = new Set(['ENOENT', 'EACCES', 'EPERM'])
/** Fewer may be common to many files: rather a file comes twice than not at all. */
const HEAD_BYTES_MIN = 64
const NEWLINE = 10
const PIECE_BYTES = 64 * 1024
