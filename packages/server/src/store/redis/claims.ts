import type { Claim, ClaimKey, Reservation } from '../store.ts'
import type { Connection, Reply } from './connection.ts'
import type { ResolvedRedisStore } from './options.ts'
import { EXPIRY_MS_MAX, RESERVE, SETTLE } from './scripts.ts'

/** Who holds which idempotency key. */
export class Claims {
  readonly #connection: Connection
  readonly #options: ResolvedRedisStore
  readonly #now: () => string
  /** Claimed by this process and not settled: as many as there are requests between claim and append. */
  readonly #open = new Set<string>()
  readonly #asked = new Set<Promise<unknown>>()

  constructor(connection: Connection, options: ResolvedRedisStore, now: () => string) {
    this.#connection = connection
    this.#options = options
    this.#now = now
  }

  async reserve(claim: Claim): Promise<Reservation> {
    const name = this.#nameOf(claim)
    const windowMs = Math.min(Math.ceil(claim.windowMs), EXPIRY_MS_MAX)
    const values = [this.#now(), String(this.#options.claimMs), claim.taskId, claim.fingerprint, String(windowMs)]
    const reply = await this.#wait(this.#connection.run(RESERVE, [name], values))
    const [said, taskId] = reply as readonly Buffer[]
    const kind = said!.toString() as Reservation['kind']
    if (kind === 'claimed' || kind === 'resume') this.#open.add(name)
    return kind === 'kept' || kind === 'resume' ? { kind, taskId: taskId!.toString() } : { kind }
  }

  async settle(act: 'confirm' | 'release' | 'doubt', claim: ClaimKey): Promise<void> {
    const name = this.#nameOf(claim)
    await this.#wait(this.#connection.run(SETTLE, [name], [act]))
    this.#open.delete(name)
  }

  /** Resolves when nothing is asked any more. */
  async idle(): Promise<void> {
    while (this.#asked.size > 0) await Promise.allSettled(this.#asked)
  }

  /** This process appends no more: whoever comes with one of its keys need not wait. */
  async leave(): Promise<void> {
    const left = [...this.#open].map((name) => this.#connection.run(SETTLE, [name], ['doubt']))
    await Promise.allSettled(left)
  }

  async #wait(asked: Promise<Reply>): Promise<Reply> {
    this.#asked.add(asked)
    try {
      return await asked
    } finally {
      this.#asked.delete(asked)
    }
  }

  /** Lengths keep one key's end from being read as the next one's beginning. */
  #nameOf({ principal, route, key }: ClaimKey): string {
    return `${this.#options.prefix}claim:${principal.length}:${route.length}:${principal}:${route}:${key}`
  }
}
