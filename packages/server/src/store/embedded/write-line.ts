import type { ThreadCaller } from '@forebay/broker/embedded'
import { ForebayError } from '@forebay/protocol'
import type { Owned, RowToPark } from '../parking.ts'
import type { ApplyReport, Claim, HeldClaim, RecordedBatch, Reservation, Settlement } from '../store.ts'
import { BatchPacker, bytesOf } from './batch-codec.ts'
import type { CallbackAct, CallbackAnswer } from './callback-calls.ts'
import { ParkedPacker } from './parked-codec.ts'
import type { ParkingAct, ParkingAnswer } from './parking-calls.ts'
import type { ClaimAct, ClaimAnswer, StoreCalls, Written } from './store-calls.ts'
import type { StoreClock } from './store-clock.ts'

/** Writes wait here while a transaction is under way; all that wait become the next one, and are answered together. */
export class WriteLine {
  readonly #thread: ThreadCaller<StoreCalls>
  readonly #clock: StoreClock
  #waiting: Waiting[] = []
  #pumping: Promise<void> | null = null

  constructor(thread: ThreadCaller<StoreCalls>, clock: StoreClock) {
    this.#thread = thread
    this.#clock = clock
  }

  apply(batch: RecordedBatch): Promise<ApplyReport> {
    return new Promise((resolve, reject) => this.#wait({ kind: 'apply', batch, resolve, reject }))
  }

  reserve(claim: Claim): Promise<Reservation> {
    return this.#claim({ act: 'reserve', claim }) as Promise<Reservation>
  }

  settle(act: 'confirm' | 'release', claim: HeldClaim): Promise<Settlement> {
    return this.#claim({ act, claim }) as Promise<Settlement>
  }

  async mark(act: 'doubt' | 'renew', claim: HeldClaim): Promise<void> {
    await this.#claim({ act, claim })
  }

  parking(act: ParkingAct): Promise<ParkingAnswer> {
    return new Promise((resolve, reject) => this.#wait({ kind: 'parking', act, resolve, reject }))
  }

  /** `bytes`: about what the records take. */
  park(owned: Owned, rows: readonly RowToPark[], bytes: number): Promise<ParkingAnswer> {
    return new Promise((resolve, reject) => this.#wait({ kind: 'park', owned, rows, bytes, resolve, reject }))
  }

  callbacks(act: CallbackAct): Promise<CallbackAnswer> {
    return new Promise((resolve, reject) => this.#wait({ kind: 'callback', act, resolve, reject }))
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#pumping !== null) await this.#pumping
  }

  #claim(act: ClaimAct): Promise<ClaimAnswer> {
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
      else if (one.kind === 'park') bytes += one.bytes + one.rows.length * ROW_BYTES
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
      const batches = packBatches(group)
      const { parking, records } = packParking(group)
      const written = await this.#thread.call(
        'write',
        {
          nowMs: this.#clock.nowMs(),
          monotonicMs: this.#clock.monotonicMs(),
          batches,
          claims: group.flatMap((one) => (one.kind === 'claim' ? [one.act] : [])),
          parking,
          records,
          callbacks: group.flatMap((one) => (one.kind === 'callback' ? [one.act] : [])),
        },
        [batches, records].filter((one) => one !== null),
      )
      answer(group, written)
    } catch (error) {
      for (const one of group) one.reject(error)
    }
  }
}

/** Bounds how long a transaction, and so whoever waits behind it, takes. */
const TRANSACTION_BYTES_MAX = 2 * 1024 * 1024
/** About what a parked row takes beside its record. */
const ROW_BYTES = 512

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
      readonly resolve: (answer: ClaimAnswer) => void
      readonly reject: (error: unknown) => void
    }
  | {
      readonly kind: 'parking'
      readonly act: ParkingAct
      readonly resolve: (answer: ParkingAnswer) => void
      readonly reject: (error: unknown) => void
    }
  | {
      readonly kind: 'callback'
      readonly act: CallbackAct
      readonly resolve: (answer: CallbackAnswer) => void
      readonly reject: (error: unknown) => void
    }
  | {
      readonly kind: 'park'
      readonly owned: Owned
      readonly rows: readonly RowToPark[]
      readonly bytes: number
      readonly resolve: (answer: ParkingAnswer) => void
      readonly reject: (error: unknown) => void
    }

function packBatches(group: readonly Waiting[]): ArrayBuffer | null {
  const batches = group.flatMap((one) => (one.kind === 'apply' ? [one.batch] : []))
  if (batches.length === 0) return null
  const packer = new BatchPacker(batches.reduce((sum, batch) => sum + sizeOf(batch), 0))
  for (const batch of batches) packer.add(batch)
  return packer.finish()
}

function packParking(group: readonly Waiting[]): { parking: readonly ParkingAct[]; records: ArrayBuffer | null } {
  const bytes = group.reduce((sum, one) => sum + (one.kind === 'park' ? one.bytes : 0), 0)
  const packer = bytes === 0 ? null : new ParkedPacker(bytes)
  const parking = group.flatMap((one): readonly ParkingAct[] => {
    if (one.kind === 'parking') return [one.act]
    if (one.kind !== 'park') return []
    return [{ act: 'park', owned: one.owned, rows: one.rows.map((row) => packer!.add(row)) }]
  })
  return { parking, records: packer?.finish() ?? null }
}

function sizeOf(batch: RecordedBatch): number {
  let bytes = 0
  for (const entry of batch.entries) bytes += bytesOf(entry)
  return bytes
}

function answer(group: readonly Waiting[], written: Written): void {
  if (written.kind !== 'written') throw refusal(written)
  let batch = 0
  let claim = 0
  let act = 0
  let callback = 0
  for (const one of group) {
    if (one.kind === 'apply') one.resolve(written.reports[batch++]!)
    else if (one.kind === 'claim') one.resolve(written.reservations[claim++]!)
    else if (one.kind === 'callback') one.resolve(written.callbacks[callback++]!)
    else one.resolve(written.parking[act++]!)
  }
}

function refusal(written: Exclude<Written, { kind: 'written' }>): ForebayError {
  return written.kind === 'full'
    ? new ForebayError('NOT_ACCEPTED', `The store has no room on its disk (${written.reason}); make room.`)
    : new ForebayError('NOT_ACCEPTED', `The store's disk failed (${written.reason}); mend it and restart this process.`)
}
