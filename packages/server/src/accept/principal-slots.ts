/** Counts what each principal holds, so that none takes all there is; who holds nothing is not remembered. */
export class PrincipalSlots {
  readonly max: number
  readonly #held = new Map<string, number>()

  constructor(max: number) {
    this.max = max
  }

  /** False when the principal holds as many as it may; otherwise `free` must follow. */
  take(principal: string): boolean {
    const held = this.#held.get(principal) ?? 0
    if (held >= this.max) return false
    this.#held.set(principal, held + 1)
    return true
  }

  free(principal: string): void {
    const held = this.#held.get(principal)!
    if (held === 1) this.#held.delete(principal)
    else this.#held.set(principal, held - 1)
  }
}
