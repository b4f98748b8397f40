import type {
  CallbackAttempt,
  CallbackFilter,
  Callbacks,
  CallbackToRegister,
  CallbackView,
} from '../../src/store/callbacks.ts'
import type { Store } from '../../src/store/store.ts'
import type { EndState } from '../../src/task.ts'

interface Row extends CallbackToRegister {
  state: CallbackView['state']
  tries: number
  nextAtMs: number
  dueSinceMs: number
  changedAtMs: number
  generation: number
  taskState: EndState | null
  attempts: CallbackAttempt[]
  taker: string | null
  leasedUntilMs: number
}

/** A model of the port, in front of a real store: who is to be called is in memory. */
export function withCallbacks(store: Store): Store & { readonly callbacks: Callbacks } {
  const rows = new Map<string, Row>()
  const disabled = new Set<string>()
  const now = () => Date.now()
  const isOut = (row: Row) => row.taker !== null && row.leasedUntilMs > now()
  const matches = (row: Row, filter: CallbackFilter) =>
    (filter.taskId === undefined || row.taskId === filter.taskId) &&
    (filter.id === undefined || row.id === filter.id) &&
    (filter.owner === undefined || row.owner === filter.owner) &&
    (filter.queue === undefined || row.queue === filter.queue) &&
    (filter.url === undefined || row.url === filter.url) &&
    (filter.state === undefined || row.state === filter.state) &&
    (filter.sinceMs === undefined || row.changedAtMs >= filter.sinceMs)
  const chosen = (filter: CallbackFilter) =>
    [...rows.values()].filter((row) => matches(row, filter)).slice(0, filter.countMax ?? 100)
  const due = (row: Row, generation: number, state: EndState) => {
    if (row.state === 'disabled') return
    Object.assign(row, { state: 'due', nextAtMs: now(), dueSinceMs: now(), changedAtMs: now(), tries: 0 })
    Object.assign(row, { generation, taskState: state, taker: null })
  }
  const callbacks: Callbacks = {
    async register(callback) {
      const { taskId, owner, url } = callback
      const ofTask = [...rows.values()].filter((row) => row.taskId === taskId)
      if (ofTask.some((row) => row.url === url)) return 'known'
      if (ofTask.length >= 5) return 'full'
      if (disabled.has(`${owner} ${url}`)) return 'disabled'
      const times = { tries: 0, nextAtMs: 0, dueSinceMs: 0, changedAtMs: now(), leasedUntilMs: 0 }
      const row: Row = {
        ...callback,
        ...times,
        state: 'waiting',
        generation: 0,
        taskState: null,
        attempts: [],
        taker: null,
      }
      rows.set(row.id, row)
      const known = await store.get(taskId)
      if (known !== null && 'finishedAtMs' in known.status) due(row, known.generation, known.status.state)
      return 'registered'
    },
    async forget(taskId) {
      for (const row of rows.values()) if (row.taskId === taskId) rows.delete(row.id)
    },
    async take({ countMax, perHostMax, leaseMs, taker }) {
      const out = new Map<string, number>()
      for (const row of rows.values()) if (isOut(row)) out.set(row.host, (out.get(row.host) ?? 0) + 1)
      const taken: Row[] = []
      for (const row of [...rows.values()].sort((one, other) => one.nextAtMs - other.nextAtMs)) {
        if (row.state !== 'due' || row.nextAtMs > now() || isOut(row) || taken.length >= countMax) continue
        const count = out.get(row.host) ?? 0
        if (count >= perHostMax) continue
        out.set(row.host, count + 1)
        Object.assign(row, { taker, leasedUntilMs: now() + leaseMs })
        taken.push(row)
      }
      return taken.map((row) => ({ ...row }))
    },
    async conclude({ id, taker, attempt, then }) {
      const row = rows.get(id)
      if (row === undefined || row.taker !== taker || !isOut(row)) return false
      row.attempts.push(attempt)
      Object.assign(row, { taker: null, tries: row.tries + 1, changedAtMs: now() })
      if (then.kind === 'again') row.nextAtMs = now() + then.inMs
      else row.state = then.kind
      if (then.kind === 'disabled') {
        disabled.add(`${row.owner} ${row.url}`)
        for (const other of rows.values())
          if (other.owner === row.owner && other.url === row.url && other.state !== 'delivered')
            other.state = 'disabled'
      }
      return true
    },
    async nextDueMs() {
      const times = [...rows.values()].filter((row) => row.state === 'due' && !isOut(row)).map((row) => row.nextAtMs)
      return times.length === 0 ? null : Math.min(...times)
    },
    async list(filter) {
      return chosen(filter).map((row) => ({
        ...row,
        nextAtMs: row.state === 'due' ? row.nextAtMs : null,
        attempts: [...row.attempts],
      }))
    },
    async replay(filter) {
      const found = chosen(filter).filter((row) => row.state !== 'waiting' && row.taskState !== null)
      for (const row of found) due(row, row.generation, row.taskState!)
      return found.length
    },
    async enable(owner, url) {
      return disabled.delete(`${owner} ${url}`)
    },
  }
  return new Proxy(store as Store & { readonly callbacks: Callbacks }, {
    get(target, name) {
      if (name === 'callbacks') return callbacks
      if (name === 'apply') {
        return async (...args: Parameters<Store['apply']>) => {
          const report = await target.apply(...args)
          for (const { kind, ...entry } of args[0].entries) {
            if (kind !== 'result' || !('result' in entry)) continue
            const { taskId } = entry.result
            const known = await target.get(taskId)
            if (known === null || !('finishedAtMs' in known.status)) continue
            for (const row of rows.values()) {
              if (row.taskId === taskId && row.state === 'waiting') due(row, known.generation, known.status.state)
            }
          }
          return report
        }
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
