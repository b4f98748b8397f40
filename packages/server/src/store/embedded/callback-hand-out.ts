import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { DueCallback, TakeCallbacks } from '../callbacks.ts'
import { type CallbackColumns, dueCallback } from './callback-columns.ts'

/** Which callbacks are due. Used inside the caller's transaction. */
export class CallbackHandOut {
  readonly #held: StatementSync
  readonly #longestDue: StatementSync
  readonly #firstHead: StatementSync
  readonly #nextHead: StatementSync
  readonly #nextOfHost: StatementSync
  readonly #take: StatementSync

  constructor(database: DatabaseSync) {
    this.#held = database.prepare(
      'SELECT host, count(*) AS count FROM callbacks WHERE taker IS NOT NULL AND wake_at_ms > ? GROUP BY host',
    )
    const columns = 'seq, host, wake_at_ms'
    // What is handed out wakes when its lease ends, so it is not among these before.
    this.#longestDue = database.prepare(
      `SELECT ${columns} FROM callbacks WHERE state = 'due' AND wake_at_ms <= ?
       ORDER BY wake_at_ms, seq LIMIT ${SCANNED_MAX}`,
    )
    const head = 'ORDER BY host, wake_at_ms, seq LIMIT 1'
    this.#firstHead = database.prepare(`SELECT ${columns} FROM callbacks WHERE state = 'due' ${head}`)
    this.#nextHead = database.prepare(`SELECT ${columns} FROM callbacks WHERE state = 'due' AND host > ? ${head}`)
    this.#nextOfHost = database.prepare(
      `SELECT ${columns} FROM callbacks WHERE state = 'due' AND host = ? AND (wake_at_ms, seq) > (?, ?)
       AND wake_at_ms <= ? ORDER BY wake_at_ms, seq LIMIT 1`,
    )
    this.#take = database.prepare('UPDATE callbacks SET taker = ?, wake_at_ms = ? WHERE seq = ? RETURNING *')
  }

  take({ countMax, perHostMax, leaseMs, taker }: TakeCallbacks, nowMs: number): readonly DueCallback[] {
    const untilMs = Math.min(nowMs + Math.ceil(leaseMs), Number.MAX_SAFE_INTEGER)
    return this.#choose(countMax, perHostMax, nowMs).map(({ seq }) =>
      dueCallback(this.#take.get(taker, untilMs, seq) as unknown as CallbackColumns),
    )
  }

  #choose(countMax: number, perHostMax: number, nowMs: number): readonly DueRow[] {
    const rows = this.#longestDue.all(nowMs) as unknown as readonly DueRow[]
    const room = this.#room(perHostMax, nowMs)
    const chosen: DueRow[] = []
    for (const row of rows) {
      if (chosen.length >= countMax) break
      if (room.take(row.host)) chosen.push(row)
    }
    // What was looked at may be all of hosts that have their fill: others wait behind it.
    if (chosen.length >= countMax || rows.length < SCANNED_MAX) return chosen
    return this.#chooseByHost(countMax, this.#room(perHostMax, nowMs), nowMs)
  }

  /** One step through the index for each host, however much is due at each. */
  #chooseByHost(countMax: number, room: HostRoom, nowMs: number): readonly DueRow[] {
    const heads: DueRow[] = []
    for (let head = this.#firstHead.get(); head !== undefined; head = this.#nextHead.get(head.host!)) {
      const row = head as unknown as DueRow
      if (row.wake_at_ms <= nowMs) heads.push(row)
    }
    const chosen: DueRow[] = []
    while (heads.length > 0 && chosen.length < countMax) {
      const place = longestDueOf(heads)
      const row = heads[place]!
      const taken = room.take(row.host)
      if (taken) chosen.push(row)
      const next = taken ? this.#nextOfHost.get(row.host, row.wake_at_ms, row.seq, nowMs) : undefined
      if (next === undefined) heads.splice(place, 1)
      else heads[place] = next as unknown as DueRow
    }
    return chosen
  }

  #room(perHostMax: number, nowMs: number): HostRoom {
    return new HostRoom(perHostMax, this.#held.all(nowMs) as unknown as readonly Held[])
  }
}

/** Rows that are looked at in the order of their time, before it goes host by host. */
const SCANNED_MAX = 256

class HostRoom {
  readonly #max: number
  readonly #counts: Map<string, number>

  constructor(max: number, held: readonly Held[]) {
    this.#max = max
    this.#counts = new Map(held.map(({ host, count }) => [host, count]))
  }

  take(host: string): boolean {
    const count = this.#counts.get(host) ?? 0
    if (count >= this.#max) return false
    this.#counts.set(host, count + 1)
    return true
  }
}

function longestDueOf(heads: readonly DueRow[]): number {
  let longest = 0
  for (let place = 1; place < heads.length; place++) {
    if (isBefore(heads[place]!, heads[longest]!)) longest = place
  }
  return longest
}

function isBefore(one: DueRow, other: DueRow): boolean {
  return one.wake_at_ms < other.wake_at_ms || (one.wake_at_ms === other.wake_at_ms && one.seq < other.seq)
}

interface DueRow {
  readonly seq: number
  readonly host: string
  readonly wake_at_ms: number
}

interface Held {
  readonly host: string
  readonly count: number
}
