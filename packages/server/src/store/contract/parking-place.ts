import assert from 'node:assert/strict'
import type { LogRecord } from '@forebay/broker'
import { type Owned, type ParkedRow, type Parking, ParkingFenced, type RowToPark, type Taken } from '../parking.ts'
import type { Store } from '../store.ts'
import type { ContractPlace } from './contract-place.ts'

export const QUEUE = 'orders'
export const PARKED_TOPIC = 'forebay.tasks.orders'
/** Far away, for rows whose deadline plays no part. */
export const DEADLINE_MS = 10_000_000
export const EVERYTHING = 1_000

export interface OpenParking {
  readonly store: Store
  readonly parking: Parking
}

export async function openParking(at: ContractPlace): Promise<OpenParking> {
  const store = await at.open()
  assert.ok(store.parking !== null)
  return { store, parking: store.parking }
}

/** Owns one partition as a dispatcher would. */
export async function ownPartition(parking: Parking, partition = 0, queue = QUEUE): Promise<Owned> {
  const { epoch } = await parking.own(queue, partition)
  return { queue, partition, epoch }
}

/** A delayed task that stands alone, due at once, of task `t<offset>`. */
export function row(offset: number, change: Partial<RowToPark> = {}): RowToPark {
  return {
    record: recordAt(offset),
    taskId: `t${offset}`,
    owner: 'anna',
    line: null,
    reason: 'delayed',
    attempts: 0,
    losses: 0,
    fault: null,
    dueInMs: 0,
    deadlineInMs: DEADLINE_MS,
    ...change,
  }
}

/** A row in the line of `line` that waits behind others. */
export function behind(offset: number, line: string, change: Partial<RowToPark> = {}): RowToPark {
  return row(offset, { line, reason: 'behind', dueInMs: null, ...change })
}

export function recordAt(offset: number, partition = 0): LogRecord {
  return {
    topic: PARKED_TOPIC,
    partition,
    offset,
    timestampMs: 1_000 + offset,
    key: null,
    value: Buffer.from(`body of ${offset}`),
    headers: [['ce_id', Buffer.from(`t${offset}`)]],
  }
}

export function offsetsOf(rows: Taken | readonly ParkedRow[]): readonly number[] {
  return ('rows' in rows ? rows.rows : rows).map((one) => one.record.offset)
}

/** Everything of the partition that is due. */
export async function takeAll(parking: Parking, ...owned: readonly Owned[]): Promise<readonly number[]> {
  return offsetsOf(await parking.take(owned[0]!.queue, owned, EVERYTHING))
}

export async function assertFenced(refused: Promise<unknown>): Promise<void> {
  await assert.rejects(refused, (error) => error instanceof ParkingFenced)
}
