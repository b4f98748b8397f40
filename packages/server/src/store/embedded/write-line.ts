import type { Clock } from '@forebay/broker'
import type { ThreadCaller } from '@forebay/broker/embedded'
import { ForebayError } from '@forebay/protocol'
import type { ApplyReport, Claim, ClaimKey, RecordedBatch, Reservation } from '../store.ts'
import { BatchPacker, bytesOf } from './batch-codec.ts'
import type { ClaimAct, StoreCalls, Written } from './store-calls.ts'

/** Writes wait here while a transaction is under way; all that wait become the next one, and are answered together. */
export class WriteLine {
  readonly #thread: ThreadCaller<StoreCalls>
  readonly #clock: Clock
  #waiting: Waiting[] = []
  #pumping: Promise<void> | null = null

  constructor(thread: ThreadCaller<StoreCalls>, clock: Clock) {
    this.#thread = thread
    this.#clock = clock
  }

  apply(batch: RecordedBatch): Promise<ApplyReport> {
    return new Promise((resolve, reject) => this.#wait({ kind: 'apply', batch, resolve, reject }))
  }

  reserve(claim: Claim): Promise<Reservation> {
    return this.#claim({ act: 'reserve', claim }) as Promise<Reservation>
  }

  async settle(act: 'confirm' | 'release' | 'doubt', claim: ClaimKey): Promise<void> {
    await this.#claim({ act, claim })
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#pumping !== null) await this.#pumping
  }

  #claim(act: ClaimAct): Promise<Reservation | null> {
    return new Promise((resolve, reject) => this.#wait({ kind: 'claim', act, resolve, reject }))
  }

  #wait(one: Waiting): void {
    this.#waiting.push(one)
    this.#pumping ??= this.#pump()
  }

  async #pump(): Promise<void> {
    await null // Whatever else this turn asks for goes along.
    while (this.#waiting.length > 0) await this.#write(this.#take())
    this.#pumping = null
  }

  /** As many as one transaction should hold, at least one. */
  #take(): readonly Waiting[] {
    let bytes = 0
    let count = 0
    for (const one of this.#waiting) {
      if (one.kind === 'apply') bytes += sizeOf(one.batch)
      if (count > 0 && bytes > TRANSACTION_BYTES_MAX) break
      count += 1
    }
    if (count === this.#waiting.length) {
      const all = this.#waiting
      this.#waiting = []
      return all
    }
    return this.#waiting.splice(0, count)
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    try {
      const batches = group.flatMap((one) => (one.kind === 'apply' ? [one.batch] : []))
      const claims = group.flatMap((one) => (one.kind === 'claim' ? [one.act] : []))
      const packed = pack(batches)
      const written = await this.#thread.call(
        'write',
        { wallMs: this.#clock.wallMs(), monotonicMs: this.#clock.monotonicMs(), batches: packed, claims },
        packed === null ? [] : [packed],
      )
      answer(group, written)
    } catch (error) {
      for (const one of group) one.reject(error)
    }
  }
}

/** Bounds how long a transaction, and so whoever waits behind it, takes. */
const TRANSACTION_BYTES_MAX = 2 * 1024 * 1024

type Waiting =
  | {
      readonly kind: 'apply'
      readonly batch: RecordedBatch
      readonly resolve: (report: ApplyReport) => void
      readonly reject: (error: unknown) => void
    }
  | {
      readonly kind: 'claim'
      readonly act: ClaimAct
      readonly resolve: (reservation: Reservation | null) => void
      readonly reject: (error: unknown) => void
    }

function pack(batches: readonly RecordedBatch[]): ArrayBuffer | null {
  if (batches.length === 0) return null
  const packer = new BatchPacker(batches.reduce((sum, batch) => sum + sizeOf(batch), 0))
  for (const batch of batches) packer.add(batch)
  return packer.finish()
}

function sizeOf(batch: RecordedBatch): number {
  let bytes = 0
  for (const entry of batch.entries) bytes += bytesOf(entry)
  return bytes
}

function answer(group: readonly Waiting[], written: Written): void {
  if (written.kind !== 'written') throw refusal(written)
  let batch = 0
  let act = 0
  for (const one of group) {
    if (one.kind === 'apply') one.resolve({ kind: 'applied', duplicates: written.duplicates[batch++]! })
    else one.resolve(written.reservations[act++]!)
  }
}

function refusal(written: Exclude<Written, { kind: 'written' }>): ForebayError {
  return written.kind === 'full'
    ? new ForebayError('NOT_ACCEPTED', `The store has no room on its disk (${written.reason}); make room.`)
    : new ForebayError('NOT_ACCEPTED', `The store's disk failed (${written.reason}); mend it and restart this process.`)
}
