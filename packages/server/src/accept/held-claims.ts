import type { Clock, Timer } from '@forebay/broker'
import type { HeldClaim, Store } from '../store/store.ts'
import type { Telemetry } from '../telemetry.ts'

export interface HeldClaimsParts {
  readonly store: Pick<Store, 'renew'>
  readonly clock: Clock
  readonly telemetry: Telemetry
}

/**
 * The claims of this gateway between reservation and append. They are renewed while it lives: so a slow append keeps its key,
 * and that of a gateway that died is soon somebody else's. Most are gone before their first renewal.
 */
export class HeldClaims {
  readonly #parts: HeldClaimsParts
  /** When each was held first, monotonic ms. */
  readonly #heldSinceMs = new Map<HeldClaim, number>()
  #timer: Timer | null = null
  #renewing = false

  constructor(parts: HeldClaimsParts) {
    this.#parts = parts
  }

  hold(claim: HeldClaim): void {
    this.#heldSinceMs.set(claim, this.#parts.clock.monotonicMs())
    this.#timer ??= this.#next()
  }

  letGo(claim: HeldClaim): void {
    this.#heldSinceMs.delete(claim)
    if (this.#heldSinceMs.size > 0) return
    this.#timer?.cancel()
    this.#timer = null
  }

  #next(): Timer {
    return this.#parts.clock.timer(RENEW_EVERY_MS, () => {
      this.#timer = this.#next()
      if (!this.#renewing) void this.#renew()
    })
  }

  async #renew(): Promise<void> {
    const { store, clock, telemetry } = this.#parts
    const nowMs = clock.monotonicMs()
    for (const [claim, sinceMs] of this.#heldSinceMs) if (nowMs - sinceMs > HELD_MS_MAX) this.letGo(claim)
    this.#renewing = true
    const renewals = await Promise.allSettled([...this.#heldSinceMs.keys()].map((claim) => store.renew(claim)))
    this.#renewing = false
    const failed = renewals.find((one) => one.status === 'rejected')
    if (failed !== undefined) telemetry.log.warn({ err: failed.reason }, 'renewing idempotency keys failed')
  }
}

/** Three fit into the time for which a claim counts in a store that gateways share. */
export const RENEW_EVERY_MS = 1_500
/** Longer than any step between claim and answer takes: what hangs for ever does not hold its key for ever. */
export const HELD_MS_MAX = 120_000
