import { randomUUID } from 'node:crypto'
import type { Claim, ClaimKey, HeldClaim, Reservation, Settlement } from '../store.ts'
import type { Connection, Reply } from './connection.ts'
import type { ResolvedRedisStore } from './options.ts'
import { EXPIRY_MS_MAX, RESERVE, SETTLE } from './scripts.ts'

/** Who holds which idempotency key. */
export class Claims {
  readonly #connection: Connection
  readonly #options: ResolvedRedisStore
  readonly #now: () => string
  /** Names this run of the process: its claims. */
  readonly #run = randomUUID()
  /** Name and task of what this process has claimed and not settled: as many as there are requests between claim and append. */
  readonly #open = new Map<string, string>()
  readonly #asked = new Set<Promise<unknown>>()

  constructor(connection: Connection, options: ResolvedRedisStore, now: () => string) {
    this.#connection = connection
    this.#options = options
    this.#now = now
  }

  async reserve(claim: Claim): Promise<Reservation> {
    const name = this.#nameOf(claim)
    const windowMs = Math.min(Math.ceil(claim.windowMs), EXPIRY_MS_MAX)
    const claimMs = String(this.#options.claimMs)
    const values = [this.#now(), claimMs, claim.taskId, claim.fingerprint, String(windowMs), this.#run]
    const reply = await this.#wait(this.#connection.run(RESERVE, [name], values))
    const [said, held] = reply as readonly Buffer[]
    const kind = said!.toString() as Reservation['kind']
    const taskId = held?.toString() ?? claim.taskId
    if (kind === 'claimed' || kind === 'resume') this.#open.set(name, taskId)
    return kind === 'kept' || kind === 'resume' ? { kind, taskId } : { kind }
  }

  async settle(act: 'confirm' | 'release', claim: HeldClaim): Promise<Settlement> {
    return (await this.#act(act, claim)) === 1 ? 'sole' : 'shared'
  }

  async mark(act: 'doubt' | 'renew', claim: HeldClaim): Promise<void> {
    await this.#act(act, claim)
  }

  /** Resolves when nothing is asked any more. */
  async idle(): Promise<void> {
    while (this.#asked.size > 0) await Promise.allSettled(this.#asked)
  }

  /** This process appends no more: whoever comes with one of its keys need not wait. */
  async leave(): Promise<void> {
    const left = [...this.#open].map(([name, taskId]) => this.#settle(name, 'doubt', taskId))
    await Promise.allSettled(left)
  }

  async #act(act: 'confirm' | 'release' | 'doubt' | 'renew', claim: HeldClaim): Promise<Reply> {
    const name = this.#nameOf(claim)
    const reply = await this.#wait(this.#settle(name, act, claim.taskId))
    if (act !== 'renew') this.#open.delete(name)
    return reply
  }

  #settle(name: string, act: string, taskId: string): Promise<Reply> {
    return this.#connection.run(SETTLE, [name], [act, taskId, this.#run, this.#now()])
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
