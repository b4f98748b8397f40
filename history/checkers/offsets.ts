import type { Checker, EventOf, History, HistoryEvent, Violation } from '../history.ts'
import { eventsOf, lifeOf, placeOf } from '../select.ts'

/** When each record of a task was finished: its result was in the log, or its row in the store. */
class Finished {
  readonly #results = new Map<string, number>()
  readonly #parked = new Map<string, number>()
  readonly #topics: ReadonlyMap<string, string>

  constructor(history: History) {
    this.#topics = new Map([...history.queues].map(([name, { topic }]) => [name, topic]))
    for (const result of eventsOf(history, 'log.result')) {
      const before = this.#results.get(lifeOf(result))
      if (before === undefined || result.t < before) this.#results.set(lifeOf(result), result.t)
    }
    for (const row of eventsOf(history, 'park.kept')) {
      const place = `${this.#topics.get(row.queue)}:${row.partition}:${row.offset}`
      if (!this.#parked.has(place)) this.#parked.set(place, row.t)
    }
  }

  at(record: EventOf<'log.task'>): number {
    const result = this.#results.get(lifeOf(record)) ?? Number.POSITIVE_INFINITY
    return Math.min(result, this.#parked.get(placeOf(record)) ?? Number.POSITIVE_INFINITY)
  }
}

/** C-1, C-2: no committed position, and no done-set, covers an unfinished task. */
export const commitBehind: Checker = (history) => {
  const finished = new Finished(history)
  const partitions = Map.groupBy(eventsOf(history, 'log.task'), ({ topic, partition }) => `${topic}:${partition}`)
  const violations: Violation[] = []
  const checkedTo = new Map<string, number>()
  for (const commit of eventsOf(history, 'commit')) {
    if (!commit.taken) continue
    const { topic, partition } = commit.owner
    const name = `${topic}:${partition}`
    const from = checkedTo.get(name) ?? 0
    const done = new Set(commit.done)
    for (const record of partitions.get(name) ?? []) {
      const passed = record.offset >= from && record.offset < commit.offset
      if (!passed && !done.has(record.offset)) continue
      if (finished.at(record) <= commit.t) continue
      const result = eventsOf(history, 'log.result').find((one) => lifeOf(one) === lifeOf(record))
      violations.push({
        invariant: passed ? 'C-1' : 'C-2',
        says: `The task at ${record.offset} of ${name} was committed as finished, and it was not.`,
        witness: [record, commit, ...(result === undefined ? [] : [result])],
      })
    }
    checkedTo.set(name, Math.max(from, commit.offset))
  }
  return violations
}

/** C-3: a partition's committed position never goes back. */
export const commitsGoForward: Checker = (history) => {
  const last = new Map<string, EventOf<'commit'>>()
  const violations: Violation[] = []
  for (const commit of eventsOf(history, 'commit')) {
    if (!commit.taken) continue
    const name = JSON.stringify([commit.group, commit.owner.topic, commit.owner.partition])
    const before = last.get(name)
    if (before !== undefined && commit.offset < before.offset) {
      violations.push({
        invariant: 'C-3',
        says: `The position of ${commit.owner.topic}/${commit.owner.partition} went back from ${before.offset} to ${commit.offset}.`,
        witness: [before, commit],
      })
    }
    last.set(name, commit)
  }
  return violations
}

/**
 * C-4: the log takes commits only under the assignment in which the work was done. The log of these runs takes any
 * commit whose sender is a member, as Kafka does; so what was taken under another assignment was the sender's fault.
 */
export const commitsUnderOwnEpoch: Checker = (history) => {
  const owners = new Map<string, { readonly epoch: number; readonly event: HistoryEvent }>()
  const violations: Violation[] = []
  for (const event of history.events) {
    if (event.type !== 'owner.assigned' && event.type !== 'owner.revoked' && event.type !== 'commit') continue
    const { topic, partition, epoch } = event.owner
    const name = JSON.stringify([event.group, topic, partition])
    if (event.type === 'owner.assigned') owners.set(name, { epoch, event })
    else if (event.type === 'commit' && event.taken) {
      const owner = owners.get(name)
      if (owner === undefined || owner.epoch === epoch) continue
      violations.push({
        invariant: 'C-4',
        says: `A commit of ${topic}/${partition} was earned under assignment ${epoch} and taken under ${owner.epoch}.`,
        witness: [owner.event, event],
      })
    }
  }
  return violations
}
