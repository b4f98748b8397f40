import type { Callbacks } from '../callbacks.ts'

export const CHILD_LEASE_MS = 1_000

/** Registers a callback for the task of each position beside its result, takes what is due and calls it delivered. */
export class CallbackChild {
  readonly #callbacks: Callbacks

  constructor(callbacks: Callbacks) {
    this.#callbacks = callbacks
  }

  async step(position: number): Promise<void> {
    const host = `h${position % 3}`
    await Promise.all([
      this.#callbacks.register({
        id: callbackIdAt(position),
        taskId: `t${position}`,
        owner: 'anna',
        queue: 'orders',
        url: `https://${host}/`,
        host,
        keepUntilMs: Number.MAX_SAFE_INTEGER,
      }),
      this.#deliver(),
    ])
  }

  async #deliver(): Promise<void> {
    const request = { countMax: 2, perHostMax: 2, leaseMs: CHILD_LEASE_MS, taker: 'child' }
    const taken = await this.#callbacks.take(request)
    const attempt = { atMs: 1, durationMs: 1, status: 200, detail: null }
    await Promise.all(
      taken.map(({ id }) => this.#callbacks.conclude({ id, taker: 'child', attempt, then: { kind: 'delivered' } })),
    )
  }
}

export function callbackIdAt(position: number): string {
  return `cb_${`${position}`.padStart(26, '0')}`
}
