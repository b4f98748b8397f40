import { ForebayError } from '@forebay/protocol'
import {
  type EditedBody,
  type Owned,
  type Ownership,
  type ParkedFilter,
  type ParkedPage,
  type ParkedRow,
  type Parking,
  ParkingFenced,
  type RowToPark,
  type Taken,
  type TakenRow,
  type Wish,
} from '../parking.ts'
import type { RunningStore } from './embedded.ts'
import { bytesOfRows, unpackRows } from './parked-codec.ts'
import type { ParkingAct, ParkingAnswer } from './parking-calls.ts'

/** Parked tasks in the store's file; what is written shares the flushes of everything else. */
export class EmbeddedParking implements Parking {
  /** Throws CLOSED. */
  readonly #opened: () => RunningStore

  constructor(opened: () => RunningStore) {
    this.#opened = opened
  }

  async own(queue: string, partition: number): Promise<Ownership> {
    return (await this.#act({ act: 'own', queue, partition }, 'owned')).ownership
  }

  async park(owned: Owned, rows: readonly RowToPark[]): Promise<void> {
    const answer = await this.#opened().writes.park(owned, rows, bytesOfRows(rows))
    check(answer, 'done')
  }

  async take(queue: string, owned: readonly Owned[], limit: number): Promise<Taken> {
    const { rows, nextInMs, nowMs } = await this.#act({ act: 'take', queue, owned, limit }, 'taken')
    return { rows: unpackRows(rows).map((row) => ({ ...row, nowMs })), nextInMs }
  }

  async takeLine(owned: Owned, key: string, limit: number): Promise<readonly TakenRow[]> {
    const { rows, nowMs } = await this.#act({ act: 'takeLine', owned, key, limit }, 'taken')
    return unpackRows(rows).map((row) => ({ ...row, nowMs }))
  }

  async remove(owned: Owned, offsets: readonly number[]): Promise<void> {
    await this.#act({ act: 'remove', owned, offsets }, 'done')
  }

  async drop(owned: Owned, taskIds: readonly string[]): Promise<readonly string[]> {
    return (await this.#act({ act: 'drop', owned, taskIds }, 'dropped')).taskIds
  }

  async list({ queue, key, reason, limit, after }: ParkedFilter): Promise<ParkedPage> {
    const beforeId = after === undefined ? Number.MAX_SAFE_INTEGER : cursorOf(after)
    const query = { queue: queue ?? null, key: key ?? null, reason: reason ?? null, beforeId, limit }
    const { rows, lastId, total } = await this.#opened().thread.call('parkedList', query)
    return { rows, cursor: lastId === null ? null : String(lastId), total }
  }

  async find(queue: string, taskId: string): Promise<ParkedRow | null> {
    return unpackRows(await this.#opened().thread.call('parkedFind', { queue, taskId }))[0] ?? null
  }

  async wish(queue: string, taskId: string, wish: Wish): Promise<'kept' | 'taken' | 'missing'> {
    return (await this.#act({ act: 'wish', queue, taskId, wish }, 'wished')).outcome
  }

  async edit(queue: string, taskId: string, { payload, contentType }: EditedBody) {
    // A copy of its own: cloning a view would clone all that it is a view of.
    const body = { payload: new Uint8Array(payload), contentType }
    return (await this.#act({ act: 'edit', queue, taskId, ...body }, 'wished')).outcome
  }

  lastFired(queue: string, schedule: string): Promise<number | null> {
    return Promise.resolve().then(() => this.#opened().thread.call('lastFired', { queue, schedule }))
  }

  async fired(owned: Owned, schedule: string, atMs: number): Promise<void> {
    await this.#act({ act: 'fired', owned, schedule, atMs }, 'done')
  }

  async #act<Kind extends ParkingAnswer['kind']>(
    act: Exclude<ParkingAct, { act: 'park' }>,
    kind: Kind,
  ): Promise<Extract<ParkingAnswer, { kind: Kind }>> {
    return check(await this.#opened().writes.parking(act), kind)
  }
}

function check<Kind extends ParkingAnswer['kind']>(
  answer: ParkingAnswer,
  kind: Kind,
): Extract<ParkingAnswer, { kind: Kind }> {
  if (answer.kind === 'fenced') throw new ParkingFenced(answer.owned)
  if (answer.kind === 'refused') {
    throw new ForebayError('NOT_ACCEPTED', `The store cannot keep these rows (${answer.reason}); none was kept.`)
  }
  if (answer.kind !== kind) throw new Error(`The store answered ${answer.kind} where ${kind} was asked for.`)
  return answer as Extract<ParkingAnswer, { kind: Kind }>
}

function cursorOf(after: string): number {
  const id = Number(after)
  if (Number.isSafeInteger(id) && id >= 0) return id
  throw new ForebayError('BAD_REQUEST', `after: ${after} is no cursor of this list; take one from a page of it.`)
}
