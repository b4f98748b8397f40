import type { Owned, Ownership, ParkedRow, ParkReason, RowToPark, Wish } from '../parking.ts'

/** What is written about parked tasks: acts of one transaction, in the order in which they were asked for. */
export type ParkingAct =
  | { readonly act: 'own'; readonly queue: string; readonly partition: number }
  | { readonly act: 'park'; readonly owned: Owned; readonly rows: readonly PackedRow[] }
  | { readonly act: 'take'; readonly queue: string; readonly owned: readonly Owned[]; readonly limit: number }
  | { readonly act: 'takeLine'; readonly owned: Owned; readonly key: string; readonly limit: number }
  | { readonly act: 'remove'; readonly owned: Owned; readonly offsets: readonly number[] }
  | { readonly act: 'drop'; readonly owned: Owned; readonly taskIds: readonly string[] }
  | { readonly act: 'wish'; readonly queue: string; readonly taskId: string; readonly wish: Wish }
  | {
      readonly act: 'edit'
      readonly queue: string
      readonly taskId: string
      readonly payload: Uint8Array
      readonly contentType: string
    }
  | { readonly act: 'fired'; readonly owned: Owned; readonly schedule: string; readonly atMs: number }

export type ParkingAnswer =
  | { readonly kind: 'done' }
  | { readonly kind: 'fenced'; readonly owned: Owned }
  /** These rows cannot be kept; the other acts of the transaction were. */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'owned'; readonly ownership: Ownership }
  | { readonly kind: 'taken'; readonly rows: FoundRows; readonly nextInMs: number | null; readonly nowMs: number }
  | { readonly kind: 'dropped'; readonly taskIds: readonly string[] }
  | { readonly kind: 'wished'; readonly outcome: 'kept' | 'taken' | 'missing' }

/** A row on its way to the thread; its record lies in the write's `records`, from `start` to `end`. */
export interface PackedRow extends Omit<RowToPark, 'record'> {
  readonly offset: number
  readonly topic: string
  /** Of the record's value. */
  readonly bytes: number
  readonly start: number
  readonly end: number
}

/** Rows on their way back; their records lie one after the other in `records`. */
export interface FoundRows {
  readonly rows: readonly FoundRow[]
  readonly records: ArrayBuffer
}

export interface FoundRow extends Omit<ParkedRow, 'record'> {
  readonly offset: number
  readonly topic: string
  readonly recordBytes: number
}

export interface ParkedQuery {
  readonly queue: string | null
  readonly key: string | null
  readonly reason: ParkReason | null
  /** Only rows parked before the one of this number. */
  readonly beforeId: number
  readonly limit: number
}

export interface ParkedAnswer {
  readonly rows: readonly (Omit<ParkedRow, 'record'> & { readonly offset: number; readonly bytes: number })[]
  /** Number of the last row, where there are more. */
  readonly lastId: number | null
  readonly total: number
}
