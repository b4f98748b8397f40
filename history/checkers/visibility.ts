import { type Checker, type EventOf, type History, isEnd, type Violation } from '../history.ts'
import { eventsOf, firstBy, lifeOf, winners } from '../select.ts'

/** An end that somebody was told, by whichever door. */
type Told = EventOf<'read.ok'> | EventOf<'wait.end'> | EventOf<'cancel.ok'>

function endsTold(history: Parameters<Checker>[0]): Told[] {
  return [...eventsOf(history, 'read.ok'), ...eventsOf(history, 'wait.end'), ...eventsOf(history, 'cancel.ok')]
    .filter((told) => isEnd(told.state))
    .sort((one, other) => one.t - other.t)
}

/** V-1: everybody is told the same end. A dead task may get another life; then each life has one end. */
export const oneAnswer: Checker = (history) => {
  const results = Map.groupBy(eventsOf(history, 'log.result'), (result) => result.taskId)
  const violations: Violation[] = []
  for (const [taskId, told] of Map.groupBy(endsTold(history), (event) => event.taskId)) {
    const different = [...firstBy(told, (event) => `${event.state} ${event.answer}`).values()]
    const lives = new Set((results.get(taskId) ?? []).map((result) => result.generation)).size
    if (different.length <= Math.max(1, lives)) continue
    violations.push({
      invariant: 'V-1',
      says: `Task ${taskId} was answered in ${different.length} ways.`,
      witness: [...different.slice(0, 3), ...(results.get(taskId) ?? []).slice(0, 3)],
    })
  }
  return violations
}

/** V-2: what is told is the first result in the log. */
export const firstResultWins: Checker = (history) => {
  const byTask = Map.groupBy(eventsOf(history, 'log.result'), (result) => result.taskId)
  const violations: Violation[] = []
  for (const told of endsTold(history)) {
    const results = byTask.get(told.taskId) ?? []
    const first = firstInLog(results)
    if (first.some((result) => result.state === told.state && result.answer === told.answer && result.t <= told.t)) {
      continue
    }
    const same = results.find((result) => result.state === told.state && result.answer === told.answer)
    violations.push({
      invariant: 'V-2',
      says:
        same === undefined
          ? `Somebody was told that task ${told.taskId} is ${told.state}, and no such result is in the log.`
          : `Somebody was told an end of task ${told.taskId} that is not the first in the log${same.t > told.t ? ' yet' : ''}.`,
      witness: [...first.slice(0, 2), ...(same === undefined || first.includes(same) ? [] : [same]), told],
    })
  }
  return violations
}

/** The first result of each life. */
function firstInLog(results: readonly EventOf<'log.result'>[]): EventOf<'log.result'>[] {
  const inOrder = [...results].sort((one, other) => one.partition - other.partition || one.offset - other.offset)
  return [...firstBy(inOrder, lifeOf).values()]
}

/** G-2: when all is quiet, readers are told of the latest life of a task. */
export const latestLifeIsTold: Checker = (history) => {
  const latest = new Map<string, EventOf<'log.result'>>()
  for (const result of winners(history)) {
    const before = latest.get(result.taskId)
    if (before === undefined || before.generation < result.generation) latest.set(result.taskId, result)
  }
  return eventsOf(history, 'read.ok').flatMap((read) => {
    const result = latest.get(read.taskId)
    if (!read.final || result === undefined || result.generation === 0 || result.answer === read.answer) return []
    const says = `Task ${read.taskId} was redriven and ended again, and a reader was told the end of its life before.`
    return [{ invariant: 'G-2', says, witness: [result, read] }]
  })
}

/** V-3: after somebody was told the end, nobody who asks later is told that it has not ended, unless it was redriven. */
export const noStepBack: Checker = (history) => {
  const firstTold = firstBy(endsTold(history), (event) => event.taskId)
  const redriven = redrivenTasks(history)
  const violations: Violation[] = []
  for (const read of eventsOf(history, 'read.ok')) {
    const before = firstTold.get(read.taskId)
    if (isEnd(read.state) || before === undefined || before.t > read.asked || redriven.has(read.taskId)) continue
    violations.push({
      invariant: 'V-3',
      says: `Task ${read.taskId} was "${read.state}" for somebody who asked after another had been told its end.`,
      witness: [before, read],
    })
  }
  return violations
}

/** V-4: nobody is told a success before a worker ended with it. */
export const nothingBeforeItsWork: Checker = (history) => {
  const ends = new Map<string, EventOf<'exec.end'>>()
  for (const end of eventsOf(history, 'exec.end')) {
    const name = `${end.taskId} ${end.answer}`
    if (end.outcome === 'succeeded' && !ends.has(name)) ends.set(name, end)
  }
  return endsTold(history)
    .filter((told) => told.state === 'succeeded')
    .filter((told) => !((ends.get(`${told.taskId} ${told.answer}`)?.t ?? Number.POSITIVE_INFINITY) <= told.t))
    .map((told) => ({
      invariant: 'V-4',
      says: `Task ${told.taskId} was answered with a success that no worker had come to.`,
      witness: [told, ...[ends.get(`${told.taskId} ${told.answer}`)].filter((end) => end !== undefined)],
    }))
}

/** How long after a result is in the log a caller who waits may still be without it, when all is well. ms */
const WAKE_MS = 5_000

/** V-5: while all is well, who waits is woken. */
export const waitersAreWoken: Checker = (history) => {
  const healed = eventsOf(history, 'phase').find((event) => event.phase === 'healed')?.t
  if (healed === undefined) return []
  const results = firstBy(eventsOf(history, 'log.result'), (event) => event.taskId)
  const redriven = redrivenTasks(history)
  const begun = firstBy(eventsOf(history, 'wait.begin'), (event) => event.request)
  const waits = [
    ...eventsOf(history, 'wait.end').flatMap((end) => {
      const begin = begun.get(end.request)
      return begin === undefined ? [] : [{ end, from: begin.t }]
    }),
    ...eventsOf(history, 'read.ok')
      .filter((read) => read.waitMs > 0)
      .map((end) => ({ end, from: end.asked })),
  ]
  return waits.flatMap(({ end, from }) => {
    const result = results.get(end.taskId)
    if (result === undefined || redriven.has(end.taskId) || from < healed + SETTLED_MS) return []
    const lateMs = end.t - Math.max(result.t, from)
    if (lateMs <= WAKE_MS) return []
    const says = `A caller waited on for ${Math.round(lateMs)} ms after the result of ${end.taskId} was in the log.`
    return [{ invariant: 'V-5', says, witness: [result, end] }]
  })
}
/** After everything is whole again, what was slowed down has caught up by then. ms */
const SETTLED_MS = 6_000

/** Beyond what the caller named. ms */
const WAIT_SLACK_MS = 1_000

/** V-6: each wait ends once; while all is well, in time. */
export const waitsEndOnce: Checker = (history) => {
  const ends = Map.groupBy(eventsOf(history, 'wait.end'), (event) => event.request)
  const finished = eventsOf(history, 'phase').some((event) => event.phase === 'end')
  const healed = eventsOf(history, 'phase').find((event) => event.phase === 'healed')?.t ?? Number.POSITIVE_INFINITY
  const violations: Violation[] = []
  for (const begin of eventsOf(history, 'wait.begin')) {
    const own = ends.get(begin.request) ?? []
    const well = begin.t > healed + SETTLED_MS
    const late = own[0] !== undefined && well && own[0].t > begin.t + begin.waitMs + WAIT_SLACK_MS
    if (own.length === 1 && !late) continue
    if (own.length === 0 && !finished) continue
    const times = own.length === 0 ? 'never ended' : own.length > 1 ? 'was answered twice' : 'outlived its time'
    violations.push({
      invariant: 'V-6',
      says: `A wait for task ${begin.taskId} ${times}.`,
      witness: [begin, ...own.slice(0, 2)],
    })
  }
  return violations
}

/** Those that had, or have, another life. */
function redrivenTasks(history: History): Set<string> {
  const again = [...eventsOf(history, 'log.note'), ...eventsOf(history, 'log.task')]
  return new Set(again.filter(({ generation }) => generation > 0).map(({ taskId }) => taskId))
}
