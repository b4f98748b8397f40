import type { Timer } from '@forebay/broker'
import type { Database } from './database.ts'
import type { ResolvedPostgresStore } from './options.ts'

/** Has old rows removed, slice by slice. Each process looks; whoever finds another at it leaves it to that one. */
export class Sweeper {
  readonly #database: Database
  readonly #options: ResolvedPostgresStore
  readonly #now: () => number | null
  #timer: Timer | null = null
  #sweeping: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(database: Database, options: ResolvedPostgresStore, now: () => number | null) {
    this.#database = database
    this.#options = options
    this.#now = now
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#sweeping
  }

  #schedule(): void {
    this.#timer = this.#options.clock.timer(this.#options.sweepIntervalMs, () => {
      this.#sweeping = this.#sweep().finally(() => {
        if (!this.#stopped) this.#schedule()
      })
    })
  }

  async #sweep(): Promise<void> {
    const { schema, retentionMs, notesRetentionMs } = this.#options
    try {
      let removed = 1
      while (!this.#stopped && removed > 0) {
        const rows = await this.#database.rows<{ sweep: number }>(`SELECT ${schema}.sweep($1, $2, $3)`, [
          this.#now(),
          retentionMs,
          notesRetentionMs,
        ])
        removed = rows[0]!.sweep
      }
    } catch {
      // Other calls meet the same trouble and say so; the next sweep tries again.
    }
  }
}
