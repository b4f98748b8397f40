import { randomUUID } from 'node:crypto'
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
import { text } from './columns.ts'
import { type Database, sqlStateOf } from './database.ts'
import {
  headersOfBody,
  type ParkedColumns,
  parkedColumns,
  parkedRow,
  parkedSummary,
  SUMMARY_COLUMNS,
  type SummaryColumns,
  type TakenColumns,
  takenRow,
} from './parked-rows.ts'
import { FENCED } from './parking-functions.ts'

/** Parked tasks as rows. What owners do is in parking-functions.ts, under the lock of their partition. */
export class PostgresParking implements Parking {
  readonly #database: () => Database
  readonly #schema: string
  readonly #now: () => number | null
  /** Calls that took rows, perhaps, and whose answers never came: what they have taken is given back by the next. */
  readonly #lost = new Set<string>()

  constructor(database: () => Database, schema: string, now: () => number | null) {
    this.#database = database
    this.#schema = schema
    this.#now = now
  }

  async own(queue: string, partition: number): Promise<Ownership> {
    const rows = await this.#call<{ epoch: number; lines: string[] | null }>('own', [queue, partition, this.#now()])
    return { epoch: rows[0]!.epoch, lines: rows[0]!.lines ?? [] }
  }

  async park(owned: Owned, rows: readonly RowToPark[]): Promise<void> {
    await this.#fenced(owned, 'park', [this.#now(), ...parkedColumns(rows)])
  }

  async take(queue: string, owned: readonly Owned[], limit: number): Promise<Taken> {
    const mine = owned.filter((one) => one.queue === queue)
    if (mine.length === 0) return { rows: [], nextInMs: null }
    const places = [queue, mine.map((one) => one.partition), mine.map((one) => one.epoch)]
    const rows = await this.#take((call, lost) => {
      return this.#callWithClock<TakenColumns>('take', [...places, limit, call, lost, this.#now()])
    })
    const earliestFirst = [...rows].sort((a, b) => a.wakes_at_ms - b.wakes_at_ms || a.log_offset - b.log_offset)
    return { rows: earliestFirst.map(takenRow), nextInMs: await this.#nextInMs(places) }
  }

  async takeLine(owned: Owned, key: string, limit: number): Promise<readonly TakenRow[]> {
    const rows = await this.#take((call, lost) => {
      return this.#fencedWithClock(owned, 'take_line', [text(key), limit, call, lost, this.#now()])
    })
    return [...rows].sort((a, b) => a.log_offset - b.log_offset).map(takenRow)
  }

  async remove(owned: Owned, offsets: readonly number[]): Promise<void> {
    await this.#fenced(owned, 'remove_parked', [offsets])
  }

  async drop({ queue, partition, epoch }: Owned, taskIds: readonly string[]): Promise<readonly string[]> {
    const values = [queue, partition, epoch, taskIds.map(text), this.#now()]
    const rows = await this.#call<{ drop_parked: readonly string[] }>('drop_parked', values)
    return rows[0]!.drop_parked
  }

  async list({ queue, key, reason, limit, after }: ParkedFilter): Promise<ParkedPage> {
    const filter = [queue ?? null, key === undefined ? null : text(key), reason ?? null]
    const matches = `($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR line = $2)
      AND ($3::text IS NULL OR reason = $3)`
    const order = 'parked_at_ms DESC, queue, partition, log_offset'
    const from = after === undefined ? null : readCursor(after)
    const [counted, rows] = await Promise.all([
      this.#database().rows<{ total: number }>(
        `SELECT count(*) AS total FROM ${this.#schema}.parked WHERE ${matches}`,
        filter,
      ),
      this.#database().rows<SummaryColumns & { bytes: number }>(
        `SELECT ${SUMMARY_COLUMNS}, coalesce(octet_length(value), 0) AS bytes FROM ${this.#schema}.parked
         WHERE ${matches} AND ($4::bigint IS NULL OR parked_at_ms < $4 OR (parked_at_ms = $4
           AND (queue, partition, log_offset) > ($5::text COLLATE "C", $6::integer, $7::bigint)))
         ORDER BY ${order} LIMIT $8`,
        [...filter, ...(from ?? [null, null, null, null]), limit + 1],
      ),
    ])
    const page = rows.slice(0, limit)
    const last = page.at(-1)
    const cursor = rows.length > limit && last !== undefined ? writeCursor(last) : null
    return { rows: page.map(parkedSummary), cursor, total: counted[0]!.total }
  }

  async find(queue: string, taskId: string): Promise<ParkedRow | null> {
    const row = (await this.#rowsOf(queue, taskId))[0]
    return row === undefined ? null : parkedRow(row)
  }

  async wish(queue: string, taskId: string, wish: Wish): Promise<'kept' | 'taken' | 'missing'> {
    type Wished = { wish: 'kept' | 'taken' | 'missing' }
    const rows = await this.#call<Wished>('wish', [queue, text(taskId), wish, this.#now()])
    return rows[0]!.wish
  }

  async edit(queue: string, taskId: string, body: EditedBody): Promise<'kept' | 'taken' | 'missing'> {
    for (;;) {
      const rows = await this.#rowsOf(queue, taskId)
      if (rows.length === 0) return 'missing'
      if (rows.some((row) => row.taken !== null)) return 'taken'
      const edits = await Promise.all(rows.map((row) => this.#edit(row, body)))
      if (edits.every((edited) => edited)) return 'kept'
    }
  }

  async lastFired(queue: string, schedule: string): Promise<number | null> {
    const rows = await this.#database().rows<{ at_ms: number }>(
      `SELECT at_ms FROM ${this.#schema}.fires WHERE queue = $1 AND schedule = $2`,
      [queue, schedule],
    )
    return rows[0]?.at_ms ?? null
  }

  async fired(owned: Owned, schedule: string, atMs: number): Promise<void> {
    await this.#fenced(owned, 'fired', [schedule, atMs])
  }

  /** False when the row was changed meanwhile. */
  async #edit(row: ParkedColumns, body: EditedBody): Promise<boolean> {
    const place = [row.queue, row.partition, row.log_offset]
    const values = [...place, row.headers, headersOfBody(row.headers, body), body.payload]
    const edited = await this.#call<{ edit_parked: boolean }>('edit_parked', values)
    return edited[0]!.edit_parked
  }

  #rowsOf(queue: string, taskId: string): Promise<readonly (ParkedColumns & { taken: string | null })[]> {
    return this.#database().rows(
      `SELECT * FROM ${this.#schema}.parked WHERE queue = $1 AND task_id = $2 ORDER BY partition, log_offset`,
      [queue, text(taskId)],
    )
  }

  /** Of partitions that are still owned; null when nothing waits there. */
  async #nextInMs(places: readonly unknown[]): Promise<number | null> {
    const rows = await this.#database().rows<{ next_in_ms: number | null }>(
      `SELECT min(next.wakes_at_ms) - ${this.#schema}.now_ms($4) AS next_in_ms
       FROM ${this.#schema}.owners JOIN unnest($2::integer[], $3::bigint[]) AS given (partition, epoch)
         USING (partition, epoch)
       CROSS JOIN LATERAL (SELECT wakes_at_ms FROM ${this.#schema}.parked
         WHERE queue = owners.queue AND partition = owners.partition AND taken IS NULL
         ORDER BY wakes_at_ms LIMIT 1) AS next
       WHERE owners.queue = $1`,
      [...places, this.#now()],
    )
    const inMs = rows[0]?.next_in_ms ?? null
    return inMs === null ? null : Math.max(0, inMs)
  }

  async #take(
    take: (call: string, lost: readonly string[]) => Promise<readonly TakenColumns[]>,
  ): Promise<readonly TakenColumns[]> {
    const call = randomUUID()
    const lost = [...this.#lost]
    try {
      const rows = await take(call, lost)
      return rows
    } catch (error) {
      if (!(error instanceof ParkingFenced)) this.#remember(call)
      throw error
    }
  }

  /** Forgotten with time: whoever has been away for so long owns its partitions anew. */
  #remember(call: string): void {
    this.#lost.add(call)
    if (this.#lost.size <= LOST_CALLS_MAX) return
    for (const oldest of this.#lost) return void this.#lost.delete(oldest)
  }

  /** A function that refuses what comes under an epoch that is over. */
  #fenced<Row>(owned: Owned, name: string, values: readonly unknown[]): Promise<readonly Row[]> {
    return this.#unlessFenced(owned, this.#call<Row>(name, [owned.queue, owned.partition, owned.epoch, ...values]))
  }

  #fencedWithClock(owned: Owned, name: string, values: readonly unknown[]): Promise<readonly TakenColumns[]> {
    const { queue, partition, epoch } = owned
    return this.#unlessFenced(owned, this.#callWithClock<TakenColumns>(name, [queue, partition, epoch, ...values]))
  }

  async #unlessFenced<Done>(owned: Owned, call: Promise<Done>): Promise<Done> {
    try {
      return await call
    } catch (error) {
      throw sqlStateOf(error) === FENCED ? new ParkingFenced(owned) : error
    }
  }

  #call<Row>(name: string, values: readonly unknown[], columns = '*'): Promise<readonly Row[]> {
    const places = values.map((_, index) => `$${index + 1}`).join(', ')
    return this.#database().rows<Row>(`SELECT ${columns} FROM ${this.#schema}.${name}(${places})`, values)
  }

  /** Each row with the store's clock beside it; the last value is the clock to go by where it is not the server's. */
  #callWithClock<Row>(name: string, values: readonly unknown[]): Promise<readonly Row[]> {
    return this.#call<Row>(name, values, `*, ${this.#schema}.now_ms($${values.length}) AS now_ms`)
  }
}

const LOST_CALLS_MAX = 100

type Cursor = readonly [parkedAtMs: number, queue: string, partition: number, offset: number]

function writeCursor(row: SummaryColumns): string {
  const cursor: Cursor = [row.parked_at_ms, row.queue, row.partition, row.log_offset]
  return Buffer.from(JSON.stringify(cursor)).toString('base64url')
}

function readCursor(cursor: string): Cursor {
  try {
    const read: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (Array.isArray(read) && CURSOR_TYPES.every((type, index) => typeof read[index] === type)) {
      return read as unknown as Cursor
    }
  } catch {
    // Not one of ours either.
  }
  throw new ForebayError('BAD_REQUEST', `after: '${cursor}' is no cursor; use the one of the page before.`)
}

const CURSOR_TYPES = ['number', 'string', 'number', 'number']
