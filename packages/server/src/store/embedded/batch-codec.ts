import { formatBlobRef } from '../../records.ts'
import type { Fault, Output } from '../../task.ts'
import type { OutputAt } from '../fold-outputs.ts'
import type { RecordedBatch, RecordedEntry, RecordedFact } from '../store.ts'

/**
 * Packs what was read from the log into one buffer that moves to the store's thread: structured cloning would cost more
 * than the rest of the road. Words that repeat (queues, owners, states, media types) are written once a buffer.
 *
 * Both ends are always the same build, so there is no version in it. Numbers are little endian.
 */
export class BatchPacker {
  #bytes: Buffer
  #view: DataView
  #at = 0
  readonly #words = new Map<string, number>()

  constructor(bytesHint: number) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(bytesHint, 1024))
    this.#view = viewOf(this.#bytes)
  }

  add(batch: RecordedBatch): void {
    this.#reserve(HEADER_BYTES + batch.topic.length * 3)
    this.#word(batch.topic)
    this.#u32(batch.partition)
    this.#f64(batch.from ?? FROM_NOWHERE)
    this.#f64(batch.next)
    const countAt = this.#at
    this.#u32(0)
    this.#u32(0)
    let outputs = 0
    for (const entry of batch.entries) {
      if (entry.kind === 'output') outputs += 1
      else this.#entry(entry)
    }
    this.#view.setUint32(countAt, batch.entries.length - outputs, true)
    this.#view.setUint32(countAt + 4, outputs, true)
    if (outputs === 0) return
    for (const entry of batch.entries) if (entry.kind === 'output') this.#output(entry.offset, entry.output)
  }

  /** The packer must not be used any more. Bytes behind the last batch are zero. */
  finish(): ArrayBuffer {
    this.#reserve(4)
    this.#u32(END)
    return this.#bytes.buffer as ArrayBuffer
  }

  #entry(entry: RecordedFact): void {
    const facts = entry.kind === 'result' ? entry.result : entry.note
    this.#reserve(ENTRY_BYTES + (facts.taskId.length + facts.queue.length + facts.owner.length) * 3)
    this.#f64(entry.offset)
    this.#text(facts.taskId)
    this.#word(facts.queue)
    this.#word(facts.owner)
    this.#u32(facts.attempts)
    this.#u32(facts.generation)
    if (entry.kind === 'note') {
      const { state, atMs, fault } = entry.note
      this.#word(state)
      this.#f64(atMs)
      this.#kind(fault === null ? KIND_NOTE : KIND_NOTE_WITH_FAULT)
      if (fault !== null) this.#fault(fault)
      return
    }
    const { end, finishedAtMs } = entry.result
    this.#word(end.state)
    this.#f64(finishedAtMs)
    if (end.state === 'succeeded') {
      this.#kind(end.blob === undefined ? KIND_PAYLOAD : KIND_BLOB)
      this.#reserve(end.contentType.length * 3 + end.payload.length + BLOB_BYTES + 16)
      this.#word(end.contentType)
      if (end.blob !== undefined) this.#text(formatBlobRef(end.blob))
      this.#u32(end.payload.length)
      this.#bytes.set(end.payload, this.#at)
      this.#at += end.payload.length
    } else {
      this.#kind(KIND_FAULT)
      this.#fault(end.fault)
    }
  }

  /** Queue and owner are not kept. */
  #output(offset: number, output: Output): void {
    const { taskId, attempts, generation, run, first, chunks, atMs, content } = output
    const bytes = content.kind === 'chunk' ? content.payload.length : content.message.length * 3
    this.#reserve(OUTPUT_BYTES + (taskId.length + run.length) * 3 + bytes)
    this.#f64(offset)
    this.#text(taskId)
    this.#u32(attempts)
    this.#u32(generation)
    this.#word(run)
    this.#u32(first ? 1 : 0)
    this.#u32(chunks)
    this.#f64(atMs)
    if (content.kind === 'chunk') {
      this.#kind(KIND_PAYLOAD)
      this.#reserve(content.contentType.length * 3 + bytes + 16)
      this.#word(content.contentType)
      this.#u32(bytes)
      this.#bytes.set(content.payload, this.#at)
      this.#at += bytes
    } else {
      this.#kind(KIND_NOTE)
      this.#f64(content.fraction ?? NO_FRACTION)
      this.#text(content.message)
    }
  }

  #fault({ code, detail }: Fault): void {
    this.#reserve((code.length + detail.length) * 3 + 12)
    this.#word(code)
    this.#text(detail)
  }

  #kind(kind: number): void {
    this.#view.setUint8(this.#at, kind)
    this.#at += 1
  }

  #u32(value: number): void {
    this.#view.setUint32(this.#at, value, true)
    this.#at += 4
  }

  #f64(value: number): void {
    this.#view.setFloat64(this.#at, value, true)
    this.#at += 8
  }

  #text(value: string): void {
    const length = this.#bytes.write(value, this.#at + 4, 'utf8')
    this.#u32(length)
    this.#at += length
  }

  /** A word's number; its text follows where it is met first. */
  #word(value: string): void {
    const known = this.#words.get(value)
    this.#u32(known ?? this.#words.size)
    if (known !== undefined) return
    this.#words.set(value, this.#words.size)
    this.#text(value)
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = grown
    this.#view = viewOf(grown)
  }
}

/** About how many bytes an entry takes; for buffers and bounds. */
export function bytesOf(entry: RecordedEntry): number {
  if (entry.kind === 'note') return ROW_BYTES + (entry.note.fault?.detail.length ?? 0)
  if (entry.kind === 'output') {
    const { content } = entry.output
    return ROW_BYTES + (content.kind === 'chunk' ? content.payload.length : content.message.length)
  }
  const { end } = entry.result
  return ROW_BYTES + (end.state === 'succeeded' ? end.payload.length : end.fault.detail.length)
}

/** A row as the table holds it. */
export interface TaskRow {
  readonly offset: number
  readonly ended: boolean
  readonly taskId: string
  readonly queue: string
  readonly owner: string
  readonly attempts: number
  readonly generation: number
  readonly state: string
  readonly atMs: number
  readonly contentType: string | null
  /** A view of the packed buffer. */
  readonly payload: Uint8Array | null
  /** As `formatBlobRef` writes it. */
  readonly blob: string | null
  readonly faultCode: string | null
  readonly faultDetail: string | null
}

export interface PackedBatch {
  readonly topic: string
  readonly partition: number
  readonly from: number | null
  readonly next: number
  readonly rows: readonly TaskRow[]
  /** Payloads are views of the packed buffer; queue and owner are empty. */
  readonly outputs: readonly OutputAt[]
}

export function* unpackBatches(packed: ArrayBuffer): Generator<PackedBatch, undefined> {
  const unpacker = new BatchUnpacker(packed)
  for (let batch = unpacker.batch(); batch !== null; batch = unpacker.batch()) yield batch
  return undefined
}

class BatchUnpacker {
  readonly #bytes: Buffer
  readonly #view: DataView
  #at = 0
  readonly #words: string[] = []

  constructor(packed: ArrayBuffer) {
    this.#bytes = Buffer.from(packed)
    this.#view = viewOf(this.#bytes)
  }

  batch(): PackedBatch | null {
    const word = this.#u32()
    if (word === END) return null
    const topic = this.#wordOf(word)
    const partition = this.#u32()
    const from = this.#f64()
    const next = this.#f64()
    const rowCount = this.#u32()
    const outputCount = this.#u32()
    const rows: TaskRow[] = []
    for (let index = 0; index < rowCount; index++) rows.push(this.#row())
    const outputs: OutputAt[] = []
    for (let index = 0; index < outputCount; index++) outputs.push(this.#output())
    return { topic, partition, from: from === FROM_NOWHERE ? null : from, next, rows, outputs }
  }

  #output(): OutputAt {
    const offset = this.#f64()
    const taskId = this.#text()
    const attempts = this.#u32()
    const generation = this.#u32()
    const run = this.#word()
    const first = this.#u32() === 1
    const chunks = this.#u32()
    const atMs = this.#f64()
    const said = { taskId, queue: '', owner: '', attempts, generation, run, first, chunks, atMs }
    if (this.#view.getUint8(this.#at++) === KIND_PAYLOAD) {
      const contentType = this.#word()
      const length = this.#u32()
      const payload = this.#bytes.subarray(this.#at, this.#at + length)
      this.#at += length
      return { offset, output: { ...said, content: { kind: 'chunk', payload, contentType } } }
    }
    const fraction = this.#f64()
    const message = this.#text()
    const content = { kind: 'progress', fraction: fraction === NO_FRACTION ? null : fraction, message } as const
    return { offset, output: { ...said, content } }
  }

  #row(): TaskRow {
    const offset = this.#f64()
    const taskId = this.#text()
    const queue = this.#word()
    const owner = this.#word()
    const attempts = this.#u32()
    const generation = this.#u32()
    const state = this.#word()
    const atMs = this.#f64()
    const kind = this.#view.getUint8(this.#at++)
    const ended = kind === KIND_PAYLOAD || kind === KIND_BLOB || kind === KIND_FAULT
    let contentType: string | null = null
    let payload: Uint8Array | null = null
    let blob: string | null = null
    let faultCode: string | null = null
    let faultDetail: string | null = null
    if (kind === KIND_PAYLOAD || kind === KIND_BLOB) {
      contentType = this.#word()
      if (kind === KIND_BLOB) blob = this.#text()
      const length = this.#u32()
      payload = this.#bytes.subarray(this.#at, this.#at + length)
      this.#at += length
    } else if (kind !== KIND_NOTE) {
      faultCode = this.#word()
      faultDetail = this.#text()
    }
    return {
      offset,
      ended,
      taskId,
      queue,
      owner,
      attempts,
      generation,
      state,
      atMs,
      contentType,
      payload,
      blob,
      faultCode,
      faultDetail,
    }
  }

  #u32(): number {
    const value = this.#view.getUint32(this.#at, true)
    this.#at += 4
    return value
  }

  #f64(): number {
    const value = this.#view.getFloat64(this.#at, true)
    this.#at += 8
    return value
  }

  #text(): string {
    const length = this.#u32()
    const value = this.#bytes.toString('utf8', this.#at, this.#at + length)
    this.#at += length
    return value
  }

  #word(): string {
    return this.#wordOf(this.#u32())
  }

  #wordOf(number: number): string {
    if (number === this.#words.length) this.#words.push(this.#text())
    return this.#words[number]!
  }
}

const KIND_PAYLOAD = 0
const KIND_FAULT = 1
const KIND_NOTE = 2
const KIND_NOTE_WITH_FAULT = 3
const KIND_BLOB = 4
/** Stands where the next batch's topic would. */
const END = 0xffff_ffff
const HEADER_BYTES = 40
/** No offset is negative. */
const FROM_NOWHERE = -1
/** The longest name of a blob. */
const BLOB_BYTES = 96
/** Fixed fields, and the lengths and numbers of four words and a text. */
const ENTRY_BYTES = 96
const ROW_BYTES = 256
/** Fixed fields of an output, and the lengths and numbers of two words and two texts. */
const OUTPUT_BYTES = 96
/** Fractions are 0 to 1. */
const NO_FRACTION = -1

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
