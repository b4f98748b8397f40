import {
  CALLBACKS_PER_TASK_MAX,
  type CallbackConclusion,
  type CallbackState,
  type CallbackToRegister,
  type TakeCallbacks,
} from '../callbacks.ts'

/** What should be kept of callbacks, the slow and obvious way. */
export class CallbackModel {
  nowMs = 0
  /** In the order of their registration. */
  rows: ModelCallback[] = []
  readonly #ends = new Map<string, number>()
  readonly #disabled = new Set<string>()

  register(callback: CallbackToRegister): 'registered' | 'known' | 'full' | 'disabled' {
    const { id, taskId, owner, url, host } = callback
    if (this.#disabled.has(`${owner} ${url}`)) return 'disabled'
    const ofTask = this.rows.filter((row) => row.taskId === taskId)
    if (ofTask.some((row) => row.url === url)) return 'known'
    if (ofTask.length >= CALLBACKS_PER_TASK_MAX) return 'full'
    const generation = this.#ends.get(taskId) ?? null
    const state = generation === null ? 'waiting' : 'due'
    const dues = { generation, tries: 0, dueSinceMs: this.nowMs, wakeAtMs: this.nowMs, taker: null }
    this.rows.push({ id, taskId, owner, url, host, state, ...dues })
    return 'registered'
  }

  forget(taskId: string): void {
    this.rows = this.rows.filter((row) => row.taskId !== taskId || row.state !== 'waiting')
  }

  end(taskId: string, generation: number): void {
    if ((this.#ends.get(taskId) ?? -1) >= generation) return
    this.#ends.set(taskId, generation)
    for (const row of this.rows) {
      if (row.taskId !== taskId || (row.generation ?? -1) >= generation) continue
      row.generation = generation
      this.#wake(row, this.#disabled.has(`${row.owner} ${row.url}`) ? 'disabled' : 'due')
    }
  }

  take({ countMax, perHostMax, leaseMs, taker }: TakeCallbacks): readonly ModelCallback[] {
    const taken: ModelCallback[] = []
    for (const row of this.#due().filter((one) => !this.#isHeld(one) && one.wakeAtMs <= this.nowMs)) {
      const held = this.rows.filter((one) => one.host === row.host && (this.#isHeld(one) || taken.includes(one)))
      if (taken.length < countMax && held.length < perHostMax) taken.push(row)
    }
    for (const row of taken) Object.assign(row, { taker, wakeAtMs: this.nowMs + leaseMs })
    return taken
  }

  conclude(id: string, taker: string, then: CallbackConclusion['then']): boolean {
    const row = this.rows.find((one) => one.id === id && one.taker === taker)
    if (row === undefined) return false
    row.taker = null
    row.tries += 1
    row.state = then.kind === 'again' ? 'due' : then.kind
    if (then.kind === 'again') row.wakeAtMs = this.nowMs + then.inMs
    if (then.kind !== 'disabled') return true
    this.#disabled.add(`${row.owner} ${row.url}`)
    for (const other of this.#ofReceiver(row.owner, row.url)) {
      if (other.state === 'waiting' || other.state === 'due') Object.assign(other, { state: 'disabled', taker: null })
    }
    return true
  }

  nextDueMs(): number | null {
    const times = this.#due().flatMap((row) => (this.#isHeld(row) ? [] : [row.wakeAtMs]))
    return times.length === 0 ? null : Math.min(...times)
  }

  replay(state: CallbackState | undefined): number {
    const named = this.rows.filter((row) => state === undefined || row.state === state)
    const replayed = named.filter((row) => ['due', 'delivered', 'given-up'].includes(row.state) && !this.#isHeld(row))
    for (const row of replayed) this.#wake(row, 'due')
    return replayed.length
  }

  enable(owner: string, url: string): boolean {
    if (!this.#disabled.delete(`${owner} ${url}`)) return false
    for (const row of this.#ofReceiver(owner, url)) {
      if (row.state === 'disabled') this.#wake(row, row.generation === null ? 'waiting' : 'due')
    }
    return true
  }

  #due(): readonly ModelCallback[] {
    return this.rows.filter((row) => row.state === 'due').sort((a, b) => a.wakeAtMs - b.wakeAtMs)
  }

  #isHeld({ taker, wakeAtMs }: ModelCallback): boolean {
    return taker !== null && wakeAtMs > this.nowMs
  }

  #ofReceiver(owner: string, url: string): readonly ModelCallback[] {
    return this.rows.filter((row) => row.owner === owner && row.url === url)
  }

  #wake(row: ModelCallback, state: CallbackState): void {
    Object.assign(row, { state, taker: null, tries: 0, dueSinceMs: this.nowMs, wakeAtMs: this.nowMs })
  }
}

export interface ModelCallback {
  readonly id: string
  readonly taskId: string
  readonly owner: string
  readonly url: string
  readonly host: string
  state: CallbackState
  /** Of the end that was told of last, or is to be told of. */
  generation: number | null
  tries: number
  dueSinceMs: number
  /** With 'due': not before, or the end of the lease. */
  wakeAtMs: number
  taker: string | null
}
