import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib'

/**
 * Widest stretch of offsets from the first unfinished one to the last delivered one. A bitset of it, in base64, is
 * 3,344 characters at most, and so always fits Kafka's commit metadata (4,096).
 */
export const WINDOW_OFFSETS_MAX = 20_000

/** What to do with the record at an offset: hand it out, pass over it (it is done), or keep it until there is room. */
export type DeliverVerdict = 'deliver' | 'skip' | 'wait'

/**
 * What a group has finished in one partition, under one assignment: the watermark (first unfinished offset) and the
 * done offsets above it. Offsets are delivered in growing order; those the log left out (compaction, transaction
 * markers) count as finished, so that the watermark neither stalls nor passes a record that is not settled.
 */
export class OffsetLedger {
  /** First unfinished offset: the position to commit. */
  get watermark(): number {
    return this.#watermark
  }

  /** How many records are delivered and not settled. */
  get unsettled(): number {
    return this.#unsettled
  }

  /** Offsets from the watermark to the last delivered one, both included; 0 when everything delivered is settled. */
  get span(): number {
    return this.#next - this.#watermark
  }

  /** No further offset has room until the watermark moves. */
  get full(): boolean {
    return this.span >= WINDOW_OFFSETS_MAX
  }

  #watermark: number
  /** One past the last delivered offset; every clear bit below it is a record delivered and not settled. */
  #next: number
  /** One past the highest done offset that is known; beyond `#next` only for what an earlier assignment did. */
  #doneEnd: number
  #unsettled = 0
  /** A ring of bits, 1 = done; clear outside of [watermark, max(next, doneEnd)). */
  readonly #done = new Int32Array(RING_WORDS)

  private constructor(position: number) {
    this.#watermark = position
    this.#next = position
    this.#doneEnd = position
  }

  /** Nothing at or after `position` is finished. */
  static start(position: number): OffsetLedger {
    return new OffsetLedger(position)
  }

  /**
   * What `encode` wrote at this watermark. Anything else (another version, cut off, damaged, somebody else's text,
   * meant for another watermark) counts as an empty done-set: records come again, none is taken for done.
   */
  static decode(watermark: number, metadata: string): OffsetLedger {
    const ledger = new OffsetLedger(watermark)
    const bits = unpack(watermark, metadata)
    if (bits !== null) ledger.#load(bits)
    return ledger
  }

  /** Call for each record in log order; 'wait' changes nothing: ask again once the watermark has moved. */
  deliver(offset: number): DeliverVerdict {
    if (offset < this.#next || this.isDone(offset)) return 'skip'
    if (this.#unsettled === 0) this.#restartAt(offset)
    else if (offset - this.#watermark >= WINDOW_OFFSETS_MAX) return 'wait'
    else if (offset > this.#next) this.#finishGap(offset)
    this.#next = offset + 1
    this.#unsettled++
    return 'deliver'
  }

  isDone(offset: number): boolean {
    if (offset < this.#watermark) return true
    return offset < this.#doneEnd && (this.#done[wordOf(offset)]! & (1 << (offset & 31))) !== 0
  }

  /** False, and nothing changes, when the offset was not delivered or is settled already. */
  settle(offset: number): boolean {
    if (offset < this.#watermark || offset >= this.#next) return false
    const word = wordOf(offset)
    const bit = 1 << (offset & 31)
    if ((this.#done[word]! & bit) !== 0) return false
    this.#done[word]! |= bit
    this.#unsettled--
    if (offset >= this.#doneEnd) this.#doneEnd = offset + 1
    if (offset === this.#watermark) this.#advance()
    return true
  }

  /** The done-set as text for the commit of `watermark`: '' when it is empty, never longer than 4,096 characters. */
  encode(): string {
    return pack(this.#watermark, this.#bits())
  }

  /** Moves the watermark over what is done, clearing the bits it leaves behind. */
  #advance(): void {
    let at = this.#watermark
    while (at < this.#doneEnd) {
      const word = wordOf(at)
      const shift = at & 31
      const pending = ~this.#done[word]! >>> shift
      const run = pending === 0 ? 32 - shift : Math.min(31 - Math.clz32(pending & -pending), 32 - shift)
      if (run === 0) break
      this.#done[word]! &= ~maskOf(shift, run)
      at += run
    }
    this.#watermark = at
    if (this.#next < at) this.#next = at
    if (this.#doneEnd < at) this.#doneEnd = at
  }

  /** Nothing is unsettled, so everything before `offset` is finished and the window may begin there. */
  #restartAt(offset: number): void {
    this.#fill(this.#watermark, Math.min(offset, this.#doneEnd), false)
    this.#watermark = offset
    if (this.#doneEnd < offset) this.#doneEnd = offset
  }

  #finishGap(offset: number): void {
    this.#fill(this.#next, offset, true)
    if (this.#doneEnd < offset) this.#doneEnd = offset
  }

  #fill(from: number, to: number, done: boolean): void {
    for (let at = from; at < to; ) {
      const shift = at & 31
      const run = Math.min(32 - shift, to - at)
      if (done) this.#done[wordOf(at)]! |= maskOf(shift, run)
      else this.#done[wordOf(at)]! &= ~maskOf(shift, run)
      at += run
    }
  }

  #bits(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil((this.#doneEnd - this.#watermark) / 8))
    for (let index = 0; index < bytes.length; index++) {
      const at = this.#watermark + index * 8
      const shift = at & 31
      const low = this.#done[wordOf(at)]! >>> shift
      bytes[index] = shift > 24 ? low | (this.#done[wordOf(at + 8)]! << (32 - shift)) : low
    }
    return bytes
  }

  #load(bits: Uint8Array): void {
    const end = this.#watermark + bits.length * 8
    for (let at = this.#watermark; at < end; at++) {
      const within = at - this.#watermark
      if ((bits[within >>> 3]! & (1 << (within & 7))) === 0) continue
      this.#done[wordOf(at)]! |= 1 << (at & 31)
      this.#doneEnd = at + 1
    }
    this.#advance()
  }
}

const RING_WORDS = 1024
const BYTES_MAX = WINDOW_OFFSETS_MAX / 8
const CHECKSUM_BYTES = 4
/** Below this a deflated bitset is rarely shorter. */
const DEFLATE_FROM_BYTES = 48

/** The first letter is the version, the second how the bits are written. */
const PLAIN = '1b'
const DEFLATED = '1z'

/** `&` takes the low 32 bits of any safe integer, so offsets beyond 2^31 land right. */
function wordOf(offset: number): number {
  return (offset >>> 5) & (RING_WORDS - 1)
}

function maskOf(shift: number, run: number): number {
  return run === 32 ? -1 : ((1 << run) - 1) << shift
}

function pack(watermark: number, bits: Uint8Array): string {
  if (bits.length === 0) return ''
  const deflated = bits.length < DEFLATE_FROM_BYTES ? bits : deflateRawSync(bits)
  const [prefix, body] = deflated.length < bits.length ? [DEFLATED, deflated] : [PLAIN, bits]
  const bytes = Buffer.allocUnsafe(CHECKSUM_BYTES + body.length)
  bytes.writeUInt32LE(checksumOf(watermark, bits), 0)
  bytes.set(body, CHECKSUM_BYTES)
  return prefix + bytes.toString('base64')
}

function unpack(watermark: number, metadata: string): Uint8Array | null {
  const prefix = metadata.slice(0, 2)
  if (prefix !== PLAIN && prefix !== DEFLATED) return null
  const bytes = Buffer.from(metadata.slice(2), 'base64')
  if (bytes.length <= CHECKSUM_BYTES) return null
  const body = bytes.subarray(CHECKSUM_BYTES)
  const bits = prefix === PLAIN ? body : inflate(body)
  if (bits === null || bits.length > BYTES_MAX) return null
  return bytes.readUInt32LE(0) === checksumOf(watermark, bits) ? bits : null
}

function inflate(body: Uint8Array): Uint8Array | null {
  try {
    return inflateRawSync(body, { maxOutputLength: BYTES_MAX })
  } catch {
    return null
  }
}

/** Covers the watermark too: a done-set is only true where it was written. */
function checksumOf(watermark: number, bits: Uint8Array): number {
  const position = Buffer.alloc(8)
  position.writeDoubleLE(watermark, 0)
  return crc32(bits, crc32(position))
}
