import type { Checker, EventOf, History, Violation } from '../history.ts'
import { eventsOf, firstBy, lifeOf } from '../select.ts'

/**
 * The tasks of one ordering key, in the order of the log; a redriven one where its new record is. Without those that
 * were delayed: each takes its place when its time has come, which the log does not always show.
 */
function linesOf(history: History): EventOf<'log.task'>[][] {
  const records = eventsOf(history, 'log.task').filter(
    (record) => record.key !== null && (history.queues.get(record.queue)?.ordered ?? false),
  )
  const delayed = new Set(records.filter(({ delayMs }) => delayMs > 0).map(({ taskId }) => taskId))
  const inOrder = records
    .filter(({ taskId }) => !delayed.has(taskId))
    .sort((one, other) => one.partition - other.partition || one.offset - other.offset)
  const places = [...firstBy(inOrder, lifeOf).values()]
  return [...Map.groupBy(places, ({ queue, key }) => JSON.stringify([queue, key])).values()]
}

/** O-1: the tasks of a key are begun in the order of the log. */
export const begunInOrder: Checker = (history) => {
  const results = firstBy(eventsOf(history, 'log.result'), lifeOf)
  // What has its end already, by another owner, has had its turn.
  const inTime = eventsOf(history, 'exec.start').filter(
    (start) => !((results.get(lifeOf(start))?.t ?? start.t) < start.t),
  )
  const starts = firstBy(inTime, lifeOf)
  const violations: Violation[] = []
  for (const line of linesOf(history)) {
    let last: { readonly record: EventOf<'log.task'>; readonly start: EventOf<'exec.start'> } | null = null
    for (const record of line) {
      const start = starts.get(lifeOf(record))
      if (start === undefined) continue
      if (last !== null && start.t < last.start.t) {
        violations.push({
          invariant: 'O-1',
          says: `Key ${record.key} of ${record.queue}: the task at ${record.offset} was begun before the one at ${last.record.offset}.`,
          witness: [last.record, record, start, last.start],
        })
      }
      if (last === null || start.t >= last.start.t) last = { record, start }
    }
  }
  return violations
}

/**
 * O-3 and more: a task of a key is begun only when the end of each earlier one is in the log. One that expired and never
 * ran holds nobody up: whoever comes to it later finds it expired as well.
 */
export const begunAfterEnds: Checker = (history) => {
  const starts = firstBy(eventsOf(history, 'exec.start'), lifeOf)
  const results = firstBy(eventsOf(history, 'log.result'), lifeOf)
  const violations: Violation[] = []
  for (const line of linesOf(history)) {
    let open: EventOf<'log.task'> | null = null
    let openUntil = Number.NEGATIVE_INFINITY
    for (const record of line) {
      const start = starts.get(lifeOf(record))
      if (start !== undefined && open !== null && start.t < openUntil && record.t < start.t) {
        const result = results.get(lifeOf(open))
        violations.push({
          invariant: 'O-3',
          says: `Key ${record.key} of ${record.queue}: the task at ${record.offset} was begun before the one at ${open.offset} had its end in the log.`,
          witness: [open, record, start, ...(result === undefined ? [] : [result])],
        })
      }
      const result = results.get(lifeOf(record))
      if (result?.state === 'expired' && start === undefined) continue
      const until = result?.t ?? Number.POSITIVE_INFINITY
      if (until > openUntil) {
        openUntil = until
        open = record
      }
    }
  }
  return violations
}

/**
 * O-2: where one owner runs a task of a key once more, what it ran behind it before is run again as well, so that the last
 * to run is the last of the key. Without delayed tasks, whose place the log does not always show, and without what
 * somebody else has parked in the middle of the assignment, taking itself for the owner: that comes again out of order.
 */
export const nothingOldRunsLast: Checker = (history) => {
  const records = Map.groupBy(eventsOf(history, 'log.task'), lifeOf)
  const parked = Map.groupBy(eventsOf(history, 'park.kept'), ({ taskId }) => taskId)
  const lastStart = new Map<string, EventOf<'exec.start'>>()
  for (const start of eventsOf(history, 'exec.start')) lastStart.set(lifeOf(start), start)
  const ran = new Map<string, { readonly offset: number; readonly start: EventOf<'exec.start'> }[]>()
  const violations: Violation[] = []
  for (const start of eventsOf(history, 'exec.start')) {
    const own = records.get(lifeOf(start))
    if (start.owner === undefined || start.key === null || !history.queues.get(start.queue)?.ordered) continue
    if (own === undefined || own.some(({ delayMs }) => delayMs > 0)) continue
    const name = JSON.stringify([start.queue, start.key, start.owner.epoch])
    const before = ran.get(name) ?? []
    ran.set(name, before)
    const reached = Math.max(-1, ...before.map(({ offset }) => offset))
    const offsets = own.map(({ offset }) => offset).sort((one, other) => one - other)
    // A task that is in the log twice is taken to be the next of its records.
    const offset = offsets.find((one) => one >= reached) ?? offsets.at(-1)!
    const left = before.find((one) => one.offset > offset && lastStart.get(lifeOf(one.start))!.t < start.t)
    const since = before[0]?.start.t ?? start.t
    const intruded = parked.get(start.taskId)?.some(({ by, t }) => by !== start.by && t > since)
    if (left !== undefined && !intruded) {
      violations.push({
        invariant: 'O-2',
        says: `Key ${start.key} of ${start.queue}: after the task at ${left.offset} its owner ran the one at ${offset}, and that was the last.`,
        witness: [left.start, start],
      })
    }
    before.push({ offset, start })
  }
  return violations
}

/** O-4: one owner has at most one attempt of a key, and of a task, under way. */
export const oneAtATime: Checker = (history) => {
  const records = Map.groupBy(eventsOf(history, 'log.task'), lifeOf)
  const open = new Map<string, EventOf<'exec.start'>>()
  const nameOf = (start: EventOf<'exec.start'>) => {
    const ordered = start.key !== null && history.queues.get(start.queue)?.ordered
    return JSON.stringify([start.queue, ordered ? start.key : lifeOf(start), ordered, start.owner?.epoch])
  }
  const names = new Map<string, string>()
  const violations: Violation[] = []
  for (const event of history.events) {
    if (event.type === 'exec.over') {
      const name = names.get(event.execution)
      if (name !== undefined && open.get(name)?.execution === event.execution) open.delete(name)
    }
    if (event.type !== 'exec.start' || event.owner === undefined) continue
    // A task that is in the log twice, without order, may run twice at once.
    const alone = (records.get(lifeOf(event))?.length ?? 0) <= 1
    const ordered = event.key !== null && history.queues.get(event.queue)?.ordered
    if (!alone && !ordered) continue
    const name = nameOf(event)
    const other = open.get(name)
    if (other !== undefined) {
      violations.push({
        invariant: 'O-4',
        says: `Two attempts of ${event.key === null ? `task ${event.taskId}` : `key ${event.key}`} of ${event.queue} were under way at once.`,
        witness: [other, event],
      })
    }
    names.set(event.execution, name)
    open.set(name, event)
  }
  return violations
}

/** O-6, R-1: under one assignment the attempts of a task are numbered upwards, and never beyond the queue's limit. */
export const attemptsAreCounted: Checker = (history) => {
  const records = Map.groupBy(eventsOf(history, 'log.task'), lifeOf)
  const parked = parkedTasks(history)
  // An operator may give a task more attempts than its queue does.
  const wished = new Set(eventsOf(history, 'operator.wish').map((event) => event.taskId))
  const last = new Map<string, EventOf<'exec.start'>>()
  const violations: Violation[] = []
  for (const start of eventsOf(history, 'exec.start')) {
    const { attemptsMax } = history.queues.get(start.queue)!
    if (start.attempt > attemptsMax && !wished.has(start.taskId)) {
      violations.push({
        invariant: 'R-1',
        says: `Attempt ${start.attempt} of task ${start.taskId} was begun; its queue allows ${attemptsMax}.`,
        witness: [start],
      })
    }
    // A second record of a task counts anew: which of them an attempt is of cannot be told.
    if (start.owner === undefined || (records.get(lifeOf(start))?.length ?? 0) > 1) continue
    if (parked.has(start.taskId)) continue
    const name = `${lifeOf(start)} ${start.owner.epoch}`
    const before = last.get(name)
    if (before !== undefined && start.attempt <= before.attempt) {
      violations.push({
        invariant: 'O-6',
        says: `One owner began attempt ${start.attempt} of task ${start.taskId} after attempt ${before.attempt}.`,
        witness: [before, start],
      })
    }
    last.set(name, start)
  }
  return violations
}

function parkedTasks(history: History): Set<string> {
  return new Set(eventsOf(history, 'park.kept').map((row) => row.taskId))
}
