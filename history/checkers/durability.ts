import { type Checker, type EventOf, isEnd, type Violation } from '../history.ts'
import { eventsOf, firstBy } from '../select.ts'

/** D-1: what was acknowledged is in the log, with the bytes that were sent. D-6 for the way into the log. */
export const keptInLog: Checker = (history) => {
  const records = Map.groupBy(eventsOf(history, 'log.task'), (record) => record.taskId)
  const asked = firstBy(eventsOf(history, 'submit.invoke'), (event) => event.request)
  const violations: Violation[] = []
  for (const ok of eventsOf(history, 'submit.ok')) {
    const invoke = asked.get(ok.request)!
    const found = records.get(ok.taskId)
    if (found === undefined) {
      violations.push({
        invariant: 'D-1',
        says: `Task ${ok.taskId} was acknowledged, and no record of it is in the log.`,
        witness: [invoke, ok],
      })
      continue
    }
    const other = found.find((record) => record.body !== invoke.body || record.queue !== invoke.queue)
    if (other !== undefined) {
      violations.push({
        invariant: 'D-6',
        says: `Task ${ok.taskId} is in the log with another body, or in another queue, than it was sent with.`,
        witness: [invoke, ok, other],
      })
    }
  }
  return violations
}

/** D-6: workers get the bytes that are in the log. */
export const bodyReachesWorker: Checker = (history) => {
  const records = Map.groupBy(eventsOf(history, 'log.task'), (record) => record.taskId)
  return eventsOf(history, 'exec.start')
    .filter((start) => records.get(start.taskId)?.every((record) => record.body !== start.body) ?? false)
    .map((start) => ({
      invariant: 'D-6',
      says: `A worker got another body for task ${start.taskId} than its record holds.`,
      witness: [records.get(start.taskId)![0]!, start],
    }))
}

/** D-2: at the end of the run every acknowledged task can be read, and has ended. */
export const keptTasksEnd: Checker = (history) => {
  const reads = Map.groupBy(
    eventsOf(history, 'read.ok').filter((read) => read.final),
    (read) => read.taskId,
  )
  if (reads.size === 0) return []
  const failed = Map.groupBy(
    eventsOf(history, 'read.fail').filter((read) => read.final),
    (read) => read.taskId,
  )
  const violations: Violation[] = []
  for (const ok of firstBy(eventsOf(history, 'submit.ok'), (event) => event.taskId).values()) {
    const own = reads.get(ok.taskId) ?? []
    const open = own.find((read) => !isEnd(read.state))
    if (own.length > 0 && open === undefined) continue
    const record = eventsOf(history, 'log.task').find((one) => one.taskId === ok.taskId)
    const result = eventsOf(history, 'log.result').find((one) => one.taskId === ok.taskId)
    violations.push({
      invariant: 'D-2',
      says:
        open === undefined
          ? `Task ${ok.taskId} was acknowledged, and after everything was healed no gateway could tell how it stands.`
          : `Task ${ok.taskId} was acknowledged, and after everything was healed it had no end (${open.state}).`,
      witness: [ok, record, result, open ?? failed.get(ok.taskId)?.[0]].filter((event) => event !== undefined),
    })
  }
  return violations
}

/** D-3: nothing is in the log that nobody asked for, or whose caller was told that nothing was kept. */
export const nothingUnasked: Checker = (history) => {
  const invokes = Map.groupBy(eventsOf(history, 'submit.invoke'), (event) => event.body)
  const failed = firstBy(eventsOf(history, 'submit.fail'), (event) => event.request)
  const ok = firstBy(eventsOf(history, 'submit.ok'), (event) => event.request)
  const violations: Violation[] = []
  const records = Map.groupBy(eventsOf(history, 'log.task'), (record) => record.body)
  for (const [body, found] of records) {
    const asked = invokes.get(body)
    if (asked === undefined) {
      violations.push({ invariant: 'D-3', says: 'A task is in the log that nobody asked for.', witness: [found[0]!] })
      continue
    }
    const mayBeKept = asked.filter((invoke) => !failed.has(invoke.request))
    const idsAllowed =
      new Set(mayBeKept.flatMap((invoke) => ok.get(invoke.request)?.taskId ?? [])).size +
      mayBeKept.filter((invoke) => !ok.has(invoke.request)).length
    const ids = firstBy(found, (record) => record.taskId)
    if (ids.size <= idsAllowed) continue
    const told = asked.flatMap((invoke) => failed.get(invoke.request) ?? [])
    violations.push({
      invariant: 'D-3',
      says: `${ids.size} tasks of one request are in the log, though its caller was told that nothing was kept.`,
      witness: [...asked.slice(0, 2), ...told.slice(0, 2), ...[...ids.values()].slice(0, 2)],
    })
  }
  return violations
}

/** D-4, I-1: one idempotency key of one caller and queue stands for at most one task, whichever gateway it went to. */
export const oneTaskPerKey: Checker = (history) => {
  const asked = firstBy(eventsOf(history, 'submit.invoke'), (event) => event.request)
  const first = new Map<string, { readonly body: string; readonly event: EventOf<'submit.ok'> }>()
  const violations: Violation[] = []
  for (const ok of eventsOf(history, 'submit.ok')) {
    const invoke = asked.get(ok.request)!
    if (invoke.idempotencyKey === null) continue
    const name = scopeOf(history.sharedStore, invoke)
    const before = first.get(name)
    if (before === undefined) {
      first.set(name, { body: invoke.body, event: ok })
    } else if (before.body !== invoke.body) {
      violations.push({
        invariant: 'I-2',
        says: `Idempotency key ${invoke.idempotencyKey} was taken for two different bodies.`,
        witness: [asked.get(before.event.request)!, before.event, invoke, ok],
      })
    } else if (before.event.taskId !== ok.taskId) {
      violations.push({
        invariant: 'I-1',
        says: `Idempotency key ${invoke.idempotencyKey} stands for two tasks.`,
        witness: [asked.get(before.event.request)!, before.event, invoke, ok],
      })
    }
  }
  return violations
}

/** I-1, in the log: calls under one key that were never answered may not have made a second task either. */
export const oneTaskPerKeyInLog: Checker = (history) => {
  const records = Map.groupBy(eventsOf(history, 'log.task'), (record) => record.body)
  const invoked = eventsOf(history, 'submit.invoke')
  const scopes = new Map<string, Set<string>>()
  for (const invoke of invoked) {
    const known = scopes.get(invoke.body) ?? new Set()
    scopes.set(invoke.body, known.add(scopeOf(history.sharedStore, invoke)))
  }
  const asked = Map.groupBy(
    invoked.filter((invoke) => invoke.idempotencyKey !== null),
    (invoke) => scopeOf(history.sharedStore, invoke),
  )
  const violations: Violation[] = []
  for (const [name, invokes] of asked) {
    const bodies = new Set(invokes.map((invoke) => invoke.body))
    for (const body of bodies) {
      const ids = firstBy(records.get(body) ?? [], (record) => record.taskId)
      if (scopes.get(body)!.size > 1 || ids.size <= 1) continue
      violations.push({
        invariant: 'I-1',
        says: `Requests under ${name} made ${ids.size} tasks.`,
        witness: [...invokes.slice(0, 3), ...[...ids.values()].slice(0, 2)],
      })
    }
  }
  return violations
}

/** I-3: two callers may use the same key without meeting. */
export const keysArePrivate: Checker = (history) => {
  const asked = firstBy(eventsOf(history, 'submit.invoke'), (event) => event.request)
  const holder = new Map<string, EventOf<'submit.ok'>>()
  const violations: Violation[] = []
  for (const ok of eventsOf(history, 'submit.ok')) {
    const before = holder.get(ok.taskId)
    if (before === undefined) {
      holder.set(ok.taskId, ok)
      continue
    }
    const [one, other] = [asked.get(before.request)!, asked.get(ok.request)!]
    if (one.principal === other.principal && one.queue === other.queue) continue
    violations.push({
      invariant: one.principal === other.principal ? 'I-2' : 'I-3',
      says: `Task ${ok.taskId} was given to two ${one.principal === other.principal ? 'queues' : 'callers'}.`,
      witness: [one, before, other, ok],
    })
  }
  return violations
}

/** I-3: a key is refused as used for something else only where the same caller has used it so, in the same queue. */
export const mismatchesAreTrue: Checker = (history) => {
  const asked = firstBy(eventsOf(history, 'submit.invoke'), (event) => event.request)
  const bodies = Map.groupBy(eventsOf(history, 'submit.invoke'), (invoke) => scopeOf(true, invoke))
  return eventsOf(history, 'submit.fail')
    .filter(({ code }) => code === 'IDEMPOTENCY_MISMATCH')
    .flatMap((fail) => {
      const invoke = asked.get(fail.request)!
      if (bodies.get(scopeOf(true, invoke))!.some((other) => other.body !== invoke.body)) return []
      const others = eventsOf(history, 'submit.invoke').filter((one) => one.idempotencyKey === invoke.idempotencyKey)
      const says = `Idempotency key ${invoke.idempotencyKey} was refused, though its caller had used it for nothing else.`
      return [{ invariant: 'I-3', says, witness: [...others.slice(0, 3), fail] }]
    })
}

function scopeOf(sharedStore: boolean, invoke: EventOf<'submit.invoke'>): string {
  const { principal, queue, idempotencyKey, gateway } = invoke
  return JSON.stringify([principal, queue, idempotencyKey, sharedStore ? '' : gateway])
}
