import { type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, RecordToPublish } from '@forebay/broker'
import { flushFolder, readIfThere, writeDurably } from '@forebay/broker/durable-file'
import { droppedRecord, type Loss } from '../dropped.ts'
import { frameEnd, packFrame, unpackFrame } from './frame.ts'
import { lossesIn, tornLoss } from './losses.ts'
import { openSegments, removeSegment, type Segment, segmentPath } from './segments.ts'

export interface SpoolOptions {
  readonly dir: string
  /** All files together. */
  readonly bytesMax: number
  /** refuse: nothing more is taken. drop-oldest: the oldest file gives way, with a row that says so. */
  readonly whenFull: 'refuse' | 'drop-oldest'
  /** Of the rows that say what was dropped. */
  readonly topic: string
  /** Of the rows that say that the spool itself was damaged. */
  readonly source: string
  readonly clock: Clock
  readonly onDropped: (loss: Loss) => void
  /** Default 16 MiB. */
  readonly segmentBytes?: number
}

/** 'full': nothing was taken. */
export type Appended = 'kept' | 'full'

export interface Taken {
  readonly records: readonly RecordToPublish[]
  /** For `shipped`. */
  readonly end: Place
}

interface Place {
  readonly segment: number
  readonly offset: number
}

interface Waiting {
  readonly frame: Buffer
  readonly durable: boolean
  readonly done: (outcome: Appended) => void
  readonly fail: (cause: unknown) => void
}

/**
 * What was received and the log does not have yet, on the disk, in the order it came. A crash of this process loses
 * nothing that was appended; a power loss nothing that was appended as durable.
 */
export class Spool {
  readonly #options: SpoolOptions
  readonly #segmentBytes: number
  readonly #segments: Segment[]
  #file: FileHandle | null = null
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #writing: Promise<void> | null = null
  /** Everything before it is in the log. */
  #shipped: Place
  /** Everything before it has been taken. */
  #taken: Place
  #savedAtMs = Number.NEGATIVE_INFINITY
  #wake: (() => void) | null = null
  #closed = false
  #isFlushed = true

  private constructor(options: SpoolOptions, segments: Segment[], shipped: Place) {
    this.#options = options
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES
    this.#segments = segments
    this.#shipped = shipped
    this.#taken = shipped
  }

  static async open(options: SpoolOptions): Promise<Spool> {
    const { segments, torn } = await openSegments(options.dir)
    const saved = readPlace(await readIfThere(positionPath(options)))
    const oldest = segments[0]?.number ?? 1
    const shipped = saved !== null && saved.segment >= oldest ? saved : { segment: oldest, offset: 0 }
    const spool = new Spool(options, segments, shipped)
    await spool.#removeShipped()
    // A new file: nothing is ever written behind what was cut.
    await spool.#roll(Math.max(shipped.segment, segments.at(-1)?.number ?? 0) + 1)
    for (const one of torn) await spool.#tell(tornLoss(one, options.source))
    return spool
  }

  /** Bytes on the disk that the log does not have, or of which the file is still there. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, this.#waitingBytes)
  }

  /** Whether the log has everything that was appended. */
  get isEmpty(): boolean {
    return this.#writing === null && !this.#segments.some((segment) => hasMore(segment, this.#shipped))
  }

  /**
   * Resolves when the records are written, and `durable` ones flushed to the disk: together with whatever came meanwhile.
   * Rejects when the disk refuses.
   */
  append(topic: string, records: readonly RecordToPublish[], durable: boolean): Promise<Appended> {
    const frame = packFrame(topic, records, this.#options.clock.wallMs())
    if (this.#closed || this.#waitingBytes + frame.length > WAITING_BYTES_MAX) return Promise.resolve('full')
    return new Promise((done, fail) => {
      this.#waiting.push({ frame, durable, done, fail })
      this.#waitingBytes += frame.length
      this.#writing ??= this.#write()
    })
  }

  /** Resolves when everything that was kept before is flushed to the disk: false when that cannot be said. Rejects when the disk refuses. */
  async flush(): Promise<boolean> {
    await this.#writing
    if (this.#isFlushed) return true
    if (this.#closed) return false
    const outcome = await new Promise<Appended>((done, fail) => {
      this.#waiting.push({ frame: NOTHING, durable: true, done, fail })
      this.#writing ??= this.#write()
    })
    return outcome === 'kept'
  }

  /** What comes next after what was taken before; null when there is nothing. */
  async take(bytesMax: number): Promise<Taken | null> {
    for (;;) {
      const segment = this.#segments.find(({ number }) => number >= this.#taken.segment)
      if (segment === undefined) return null
      const from = segment.number === this.#taken.segment ? this.#taken.offset : 0
      if (from < segment.bytes) return this.#read(segment, from, bytesMax)
      if (segment === this.#segments.at(-1)) return null
      this.#taken = { segment: segment.number + 1, offset: 0 }
    }
  }

  /** Resolves when there may be something to take, or the signal aborts. */
  more(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#segments.some((segment) => hasMore(segment, this.#taken))) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake)
        this.#wake = null
        resolve()
      }
      this.#wake = wake
      signal.addEventListener('abort', wake, { once: true })
    })
  }

  /** The log has everything up to here. Files that it has whole go. */
  async shipped(end: Place): Promise<void> {
    this.#shipped = end
    const { clock } = this.#options
    const isWhole = this.#segments.some(
      ({ number, bytes }) => number < end.segment || (number === end.segment && bytes <= end.offset),
    )
    if (!isWhole && clock.monotonicMs() - this.#savedAtMs < SAVE_MS) return
    await this.#save()
    await this.#removeShipped()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#writing
    await this.#save()
    await this.#removeShipped()
    await this.#file?.close()
    this.#file = null
    this.#wake?.()
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      try {
        await this.#writeGroup(group)
      } catch (cause) {
        for (const { fail } of group) fail(cause)
      }
      for (const { frame } of group) this.#waitingBytes -= frame.length
      this.#wake?.()
    }
    this.#writing = null
  }

  async #writeGroup(group: readonly Waiting[]): Promise<void> {
    const bytes = group.reduce((sum, { frame }) => sum + frame.length, 0)
    if (!(await this.#makeRoom(bytes))) {
      for (const { done } of group) done('full')
      return
    }
    const mustFlush = group.some(({ durable }) => durable)
    await this.#put(group.length === 1 ? group[0]!.frame : Buffer.concat(group.map(({ frame }) => frame)), mustFlush)
    for (const { done } of group) done('kept')
  }

  async #put(bytes: Buffer, mustFlush: boolean): Promise<void> {
    const last = this.#segments.at(-1)!
    if (last.bytes > 0 && last.bytes + bytes.length > this.#segmentBytes) await this.#roll(last.number + 1)
    const segment = this.#segments.at(-1)!
    const file = this.#file!
    let written = 0
    this.#isFlushed = false
    try {
      while (written < bytes.length) {
        const { bytesWritten } = await file.write(bytes, written, bytes.length - written, segment.bytes + written)
        written += bytesWritten
      }
      if (mustFlush) await file.datasync()
    } catch (thrown) {
      // Nobody was told that they are kept: nothing of them may be read later, not even by the next start.
      await file.truncate(segment.bytes).catch(() => {})
      throw thrown
    }
    segment.bytes += bytes.length
    this.#isFlushed = mustFlush
  }

  async #makeRoom(bytes: number): Promise<boolean> {
    const { bytesMax, whenFull } = this.#options
    const onDisk = () => this.#segments.reduce((sum, segment) => sum + segment.bytes, 0)
    if (onDisk() + bytes <= bytesMax) return true
    if (whenFull === 'refuse' || bytes > bytesMax / 2) return false
    // As many times as there are files: rows that say what was lost take room themselves.
    for (let files = this.#segments.length; files > 0 && onDisk() + bytes > bytesMax; files--) {
      if (this.#segments.length === 1) await this.#roll(this.#segments[0]!.number + 1)
      await this.#dropOldest()
    }
    return onDisk() + bytes <= bytesMax
  }

  /** The rows that say so are on the disk before the file goes: a crash between the two says too much, never too little. */
  async #dropOldest(): Promise<void> {
    const oldest = this.#segments[0]!
    const content = (await readFile(oldest.path)).subarray(0, oldest.bytes)
    const from = oldest.number === this.#shipped.segment ? this.#shipped.offset : 0
    const { fresh, toTell } = lossesIn(content, from)
    const { topic, clock, onDropped } = this.#options
    if (toTell.length > 0 && oldest.number >= this.#shipped.segment) {
      const rows = toTell.map((loss) => droppedRecord(topic, loss, clock.wallMs()))
      await this.#put(packFrame(topic, rows, clock.wallMs()), true)
      for (const loss of fresh) onDropped(loss)
    }
    this.#segments.shift()
    await removeSegment(this.#options.dir, oldest)
  }

  async #tell(loss: Loss): Promise<void> {
    const { topic, clock, onDropped } = this.#options
    await this.append(topic, [droppedRecord(topic, loss, clock.wallMs())], true)
    onDropped(loss)
  }

  async #read(segment: Segment, from: number, bytesMax: number): Promise<Taken> {
    const content = await this.#contentOf(segment, from, bytesMax)
    const records: RecordToPublish[] = []
    let at = 0
    for (let end = frameEnd(content, at); end !== null; end = frameEnd(content, at)) {
      for (const record of unpackFrame(content, at, end)) records.push(record)
      at = end
    }
    this.#taken = { segment: segment.number, offset: from + at }
    return { records, end: this.#taken }
  }

  /** At least one frame of what is written. */
  async #contentOf(segment: Segment, from: number, bytesMax: number): Promise<Buffer> {
    const file = await open(segment.path, 'r')
    try {
      for (let bytes = bytesMax; ; bytes *= 4) {
        const content = Buffer.allocUnsafeSlow(Math.min(bytes, segment.bytes - from))
        const { bytesRead } = await file.read(content, 0, content.length, from)
        const read = content.subarray(0, bytesRead)
        if (frameEnd(read, 0) !== null) return read
        if (bytes >= segment.bytes - from) throw new Error(`${segment.path} is damaged at byte ${from}.`)
      }
    } finally {
      await file.close()
    }
  }

  async #roll(number: number): Promise<void> {
    await this.#file?.datasync()
    await this.#file?.close()
    const path = segmentPath(this.#options.dir, number)
    this.#file = await open(path, 'w')
    await flushFolder(this.#options.dir)
    this.#segments.push({ number, path, bytes: 0 })
  }

  async #save(): Promise<void> {
    this.#savedAtMs = this.#options.clock.monotonicMs()
    await writeDurably(positionPath(this.#options), JSON.stringify(this.#shipped))
  }

  async #removeShipped(): Promise<void> {
    while (this.#segments.length > 1 && !hasMore(this.#segments[0]!, this.#shipped)) {
      await removeSegment(this.#options.dir, this.#segments.shift()!)
    }
  }
}

const NOTHING = Buffer.alloc(0)
const SEGMENT_BYTES = 16 * 1024 * 1024
/** Received and not written yet: the disk is slower than what comes. */
const WAITING_BYTES_MAX = 16 * 1024 * 1024
/** As with positions of files. */
const SAVE_MS = 200

/** Whether the segment holds something from the place on. */
function hasMore({ number, bytes }: Segment, { segment, offset }: Place): boolean {
  return segment === number ? offset < bytes : segment < number && bytes > 0
}

function positionPath({ dir }: SpoolOptions): string {
  return join(dir, 'position.json')
}

/** What cannot be read counts as none: rows come again, and none is left out. */
function readPlace(text: string | null): Place | null {
  try {
    const { segment, offset } = JSON.parse(text ?? '') as Place
    return Number.isSafeInteger(segment) && Number.isSafeInteger(offset) ? { segment, offset } : null
  } catch {
    return null
  }
}
