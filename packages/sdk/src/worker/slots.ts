import type { Run } from './task.ts'

/**
 * The worker's concurrency as an account: a slot is free, given to a server as a credit, or taken by a run until its
 * handler returns — also by one that nobody waits for any more, because it still uses this machine.
 *
 * Servers that are there at the same time have equal shares, since a credit cannot be called back: one that holds all
 * of them and has no work would leave the others none.
 */
export class Slots {
  readonly #total: number
  readonly #running = new Set<Run>()
  readonly #shares: SlotShare[] = []
  #taken = 0
  #onIdle: () => void = () => {}

  constructor(total: number) {
    this.#total = total
  }

  get running(): ReadonlySet<Run> {
    return this.#running
  }

  /** For the sessions of one server, or of servers that are tried in turn: those are `alone`. */
  share(alone: boolean): SlotShare {
    const share = new SlotShare(this, alone)
    this.#shares.push(share)
    return share
  }

  /** Resolves once no handler runs. */
  idle(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }

  /** Of what is free, as much as the share may have. */
  take(share: SlotShare): number {
    const taken = Math.max(0, Math.min(this.#total - this.#taken, this.#limitOf(share) - share.open))
    this.#taken += taken
    return taken
  }

  giveBack(count: number): void {
    this.#taken -= count
    this.tell()
  }

  /** Something may be free for those who are present. */
  tell(): void {
    for (const share of this.#shares) if (share.present) share.onFree()
  }

  /** Those who hold credits beyond their share, of which there is one more now, are asked to let go of them. */
  makeRoomFor(arrived: SlotShare): void {
    if (this.#total - this.#taken >= this.#limitOf(arrived)) return
    for (const share of this.#shares) {
      if (share !== arrived && share.unspent > 0 && share.open > this.#limitOf(share)) share.onExcess()
    }
  }

  began(run: Run): void {
    this.#running.add(run)
  }

  ended(run: Run): void {
    this.#running.delete(run)
    this.giveBack(1)
    if (this.#running.size === 0) this.#onIdle()
  }

  /** What does not divide goes to the first of them. */
  #limitOf(share: SlotShare): number {
    const present = this.#shares.filter((one) => one.present)
    const index = present.indexOf(share)
    if (index === -1) return 0
    return Math.floor(this.#total / present.length) + (index < this.#total % present.length ? 1 : 0)
  }
}

/** What the sessions of one server have of the slots. */
export class SlotShare {
  /** Whether its server is there, so that it counts among those who share. */
  present: boolean
  /** Given to the server as credits. */
  unspent = 0
  onFree: () => void = () => {}
  onExcess: () => void = () => {}
  readonly #slots: Slots
  readonly #alone: boolean
  #running = 0

  constructor(slots: Slots, alone: boolean) {
    this.#slots = slots
    this.#alone = alone
    this.present = alone
  }

  /** Credits and runs. */
  get open(): number {
    return this.unspent + this.#running
  }

  /**
   * Who is told that slots became free, and that more credits are out than others leave it; the one session that takes
   * tasks.
   */
  attend(onFree: () => void, onExcess: () => void): void {
    this.onFree = onFree
    this.onExcess = onExcess
  }

  arrive(): void {
    if (this.present) return
    this.present = true
    this.#slots.makeRoomFor(this)
  }

  /** The others may have what it leaves. */
  depart(): void {
    if (this.#alone || !this.present) return
    this.present = false
    this.#slots.tell()
  }

  /** To give them out as credits. */
  takeFree(): number {
    const taken = this.#slots.take(this)
    this.unspent += taken
    return taken
  }

  /** Credits that were never spent. */
  giveBack(count: number): void {
    if (count === 0) return
    this.unspent -= count
    this.#slots.giveBack(count)
  }

  /** A credit was spent on this run. */
  begin(run: Run): void {
    this.unspent--
    this.#running++
    this.#slots.began(run)
  }

  end(run: Run): void {
    this.#running--
    this.#slots.ended(run)
  }
}
