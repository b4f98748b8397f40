import type {
  CallbackConclusion,
  CallbackFilter,
  Callbacks,
  CallbackToRegister,
  CallbackView,
  DueCallback,
  TakeCallbacks,
} from '../callbacks.ts'
import { canBeReplayed } from './callback-functions.ts'
import { attemptColumn, type CallbackColumns, callbackView, conditionsOf, dueCallback } from './callback-rows.ts'
import { count, text, wholeMs } from './columns.ts'
import type { Database } from './database.ts'

/** Callbacks as rows. What changes several of them, or hands them out, is in callback-functions.ts. */
export class PostgresCallbacks implements Callbacks {
  readonly #database: () => Database
  readonly #schema: string
  readonly #now: () => number | null

  constructor(database: () => Database, schema: string, now: () => number | null) {
    this.#database = database
    this.#schema = schema
    this.#now = now
  }

  async register(callback: CallbackToRegister): Promise<'registered' | 'known' | 'full' | 'disabled'> {
    const { id, taskId, owner, queue, url, host, keepUntilMs } = callback
    type Registered = { register_callback: 'registered' | 'known' | 'full' | 'disabled' }
    const texts = [id, taskId, owner, queue, url, host].map(text)
    const rows = await this.#call<Registered>('register_callback', [this.#now(), ...texts, wholeMs(keepUntilMs)])
    return rows[0]!.register_callback
  }

  async forget(taskId: string): Promise<void> {
    await this.#database().rows(`DELETE FROM ${this.#schema}.callbacks WHERE task_id = $1 AND state = 'waiting'`, [
      text(taskId),
    ])
  }

  async take({ countMax, perHostMax, leaseMs, taker }: TakeCallbacks): Promise<readonly DueCallback[]> {
    const values = [this.#now(), count(countMax), count(perHostMax), wholeMs(leaseMs), text(taker)]
    const rows = await this.#call<CallbackColumns>('take_callbacks', values)
    return rows.map(dueCallback)
  }

  async conclude({ id, taker, attempt, then }: CallbackConclusion): Promise<boolean> {
    const inMs = then.kind === 'again' ? wholeMs(Math.max(0, then.inMs)) : null
    const values = [this.#now(), text(id), text(taker), attemptColumn(attempt), then.kind, inMs]
    const rows = await this.#call<{ conclude_callback: boolean }>('conclude_callback', values)
    return rows[0]!.conclude_callback
  }

  async nextDueMs(): Promise<number | null> {
    const rows = await this.#database().rows<{ next_at_ms: number }>(
      `SELECT next_at_ms FROM ${this.#schema}.callbacks, ${this.#schema}.now_ms($1) AS now_ms
       WHERE state = 'due' AND (taker IS NULL OR next_at_ms <= now_ms) ORDER BY next_at_ms LIMIT 1`,
      [this.#now()],
    )
    return rows[0]?.next_at_ms ?? null
  }

  async list(filter: CallbackFilter): Promise<readonly CallbackView[]> {
    const { conditions, values, countMax } = conditionsOf(filter)
    const rows = await this.#database().rows<CallbackColumns>(
      `SELECT * FROM ${this.#schema}.callbacks WHERE ${conditions} ORDER BY number DESC LIMIT ${countMax}`,
      values,
    )
    return rows.map(callbackView)
  }

  async replay(filter: CallbackFilter): Promise<number> {
    const { conditions, values, countMax } = conditionsOf(filter)
    const now = `$${values.length + 1}`
    const rows = await this.#database().rows<{ replayed: number }>(
      `SELECT ${this.#schema}.replay_callbacks(${now}::bigint, ARRAY(
         SELECT id FROM ${this.#schema}.callbacks AS callback
         WHERE ${conditions} AND ${canBeReplayed(this.#schema, 'callback', `${this.#schema}.now_ms(${now}::bigint)`)}
         ORDER BY number DESC LIMIT ${countMax})) AS replayed`,
      [...values, this.#now()],
    )
    return rows[0]!.replayed
  }

  async enable(owner: string, url: string): Promise<boolean> {
    const values = [this.#now(), text(owner), text(url)]
    const rows = await this.#call<{ enable_callbacks: boolean }>('enable_callbacks', values)
    return rows[0]!.enable_callbacks
  }

  #call<Row>(name: string, values: readonly unknown[]): Promise<readonly Row[]> {
    const places = values.map((_, index) => `$${index + 1}`).join(', ')
    return this.#database().rows<Row>(`SELECT * FROM ${this.#schema}.${name}(${places})`, values)
  }
}
