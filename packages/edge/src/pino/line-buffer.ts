/** Lines that were written together and go together. */
export interface Batch {
  readonly bytes: Buffer
  readonly lines: number
  /** Lines that were dropped just before these. */
  readonly dropped: number
}

/** Whole lines on their way, bounded: what finds no room is dropped and counted, and the next batch says how many. */
export class LineBuffer {
  readonly #bytesMax: number
  readonly #batchBytesMax: number
  readonly #sealed: Batch[] = []
  #open: Buffer[] = []
  #openBytes = 0
  #openLines = 0
  #openDropped = 0
  /** Of everything that is kept here, sealed or not, also what is being sent. */
  #bytes = 0
  /** Dropped, and told by no batch yet. */
  #dropped = 0
  /** The begin of a line that has not ended. */
  #rest: Buffer = NOTHING
  #isTooLong = false

  constructor(bytesMax: number, batchBytesMax: number) {
    this.#bytesMax = bytesMax
    this.#batchBytesMax = batchBytesMax
  }

  get isEmpty(): boolean {
    return this.#sealed.length === 0 && this.#openLines === 0 && this.#dropped === 0
  }

  /** Whether a whole batch waits. */
  get isReady(): boolean {
    return this.#sealed.length > 0 || this.#openBytes >= this.#batchBytesMax
  }

  /** Lines that are kept here and what was dropped and not told. */
  get untold(): number {
    const lines = this.#sealed.reduce((sum, batch) => sum + batch.lines + batch.dropped, 0)
    return lines + this.#openLines + this.#openDropped + this.#dropped
  }

  /** In pieces of any size, cut anywhere. */
  write(chunk: Buffer): void {
    const end = chunk.lastIndexOf(NEWLINE) + 1
    if (end === 0) {
      this.#begin(chunk)
      return
    }
    const lines = this.#rest.length === 0 ? chunk.subarray(0, end) : Buffer.concat([this.#rest, chunk.subarray(0, end)])
    this.#rest = NOTHING
    this.#whole(this.#isTooLong ? lines.subarray(lines.indexOf(NEWLINE) + 1) : lines)
    this.#isTooLong = false
    if (end < chunk.length) this.#begin(chunk.subarray(end))
  }

  /** Nothing more will be written: what has no newline is a line too. */
  end(): void {
    if (this.#rest.length > 0) this.write(Buffer.from([NEWLINE]))
  }

  /** The oldest batch; the same one until `done` or `refused`. Without lines where only drops are to be told. */
  next(): Batch | null {
    if (this.#sealed.length === 0) this.#seal()
    if (this.#sealed.length === 0 && this.#dropped > 0) {
      this.#sealed.push({ bytes: NOTHING, lines: 0, dropped: this.#dropped })
      this.#dropped = 0
    }
    return this.#sealed[0] ?? null
  }

  /** The collector has it. */
  done(): void {
    this.#bytes -= this.#sealed.shift()?.bytes.length ?? 0
  }

  /** The collector will never take it: its lines are lost, and the next batch says so. */
  refused(): void {
    const batch = this.#sealed.shift()
    if (batch === undefined) return
    this.#bytes -= batch.bytes.length
    const lost = batch.lines + batch.dropped
    const next = this.#sealed[0]
    if (next !== undefined) this.#sealed[0] = { ...next, dropped: next.dropped + lost }
    else if (this.#openLines > 0) this.#openDropped += lost
    else this.#dropped += lost
  }

  #begin(piece: Buffer): void {
    if (this.#isTooLong) return
    if (this.#rest.length + piece.length <= this.#bytesMax) {
      this.#rest = Buffer.concat([this.#rest, piece])
      return
    }
    this.#isTooLong = true
    this.#rest = NOTHING
    this.#dropped++
  }

  /** `lines` are whole. One by one only where they do not go together. */
  #whole(lines: Buffer): void {
    if (lines.length <= this.#batchBytesMax && this.#bytes + lines.length <= this.#bytesMax) {
      if (lines.length > 0) this.#put(lines, lineCount(lines))
      return
    }
    for (let start = 0; start < lines.length; ) {
      const end = lines.indexOf(NEWLINE, start) + 1
      if (this.#bytes + end - start > this.#bytesMax) this.#dropped++
      else this.#put(lines.subarray(start, end), 1)
      start = end
    }
  }

  #put(bytes: Buffer, lines: number): void {
    // What was dropped lies between what came before and this.
    if (this.#dropped > 0 || this.#openBytes + bytes.length > this.#batchBytesMax) this.#seal()
    if (this.#openLines === 0) {
      this.#openDropped = this.#dropped
      this.#dropped = 0
    }
    this.#open.push(bytes)
    this.#openBytes += bytes.length
    this.#openLines += lines
    this.#bytes += bytes.length
  }

  #seal(): void {
    if (this.#openLines === 0) return
    const bytes = this.#open.length === 1 ? this.#open[0]! : Buffer.concat(this.#open, this.#openBytes)
    this.#sealed.push({ bytes, lines: this.#openLines, dropped: this.#openDropped })
    this.#open = []
    this.#openBytes = this.#openLines = this.#openDropped = 0
  }
}

function lineCount(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++
  return count
}

const NEWLINE = 10
const NOTHING = Buffer.alloc(0)
