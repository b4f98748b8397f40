import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { check } from '../history/check.ts'
import { type History, isEnd, type Violation } from '../history/history.ts'
import { CHAOS_QUEUES, type Cluster, startCluster } from './cluster.ts'
import { createDice, type Dice } from './dice.ts'
import { startNemesis } from './faults.ts'
import { type Journal, openJournal, readJournal } from './journal.ts'
import { ENDED, type LoadCounts, readTask, startLoad } from './load.ts'
import { readLog } from './read-log.ts'

export interface ChaosOptions {
  /** How long faults are injected under load. s */
  readonly seconds: number
  readonly seed: number
  /** Submissions a second. */
  readonly perS: number
  /** Mean time between two faults' beginnings. ms */
  readonly faultEveryMs: number
  readonly workers: number
  readonly say: (line: string) => void
}

export interface ChaosReport {
  readonly violations: readonly Violation[]
  readonly acked: number
  readonly counts: LoadCounts
  /** Faults that ran, by name. */
  readonly faults: ReadonlyMap<string, number>
  readonly attempts: number
  /** Attempts that began for a task whose attempt of the same number had begun before. */
  readonly attemptsTwice: number
  /** Results that came second in the log. */
  readonly resultsTwice: number
  /** Why the run proves nothing, a sentence each; empty when the faults bit. */
  readonly inconclusive: readonly string[]
  /** What the processes printed last. */
  readonly output: string
}

/** Real processes under load and faults; then everything is mended, drained, read once more and judged. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { say, seconds } = options
  say('starting three brokers, PostgreSQL, two gateways, two dispatchers and workers')
  await using cluster = await startCluster({ workers: options.workers })
  const journal = openJournal(join(cluster.dir, 'callers.jsonl'))
  const dice = createDice(options.seed)
  const over = new AbortController()
  const phase = (name: 'calm' | 'faults' | 'healed' | 'quiet' | 'stuck') =>
    journal.note({ type: 'phase', phase: name }, 'run')

  phase('calm')
  const load = startLoad({
    urls: cluster.urls,
    callers: CALLERS,
    dice,
    journal,
    perS: options.perS,
    signal: over.signal,
  })
  await sleep(CALM_MS)
  phase('faults')
  say(`faults for ${seconds} s, seed ${options.seed}`)
  const nemesis = startNemesis(cluster, { everyMs: options.faultEveryMs, dice, journal, signal: over.signal, say })
  const progress = setInterval(() => say(`${load.counts.ok} kept, ${total(nemesis.done)} faults`), PROGRESS_MS)
  await sleep(seconds * 1000)
  over.abort()
  await nemesis.ended
  await load.done
  clearInterval(progress)
  phase('healed')
  say(`mended after ${total(nemesis.done)} faults; waiting for ${load.acked.length} tasks to end`)
  const open = await drain(cluster, journal, dice, load.acked)
  phase(open === 0 ? 'quiet' : 'stuck')
  await readAllAgain(cluster, journal, dice, load.acked)
  await journal.close()

  const history: History = {
    queues: new Map(
      Object.entries(CHAOS_QUEUES).map(([name, queue]) => [
        name,
        { topic: `forebay.tasks.${name}`, ordered: 'order' in queue, attemptsMax: queue.retry.attempts },
      ]),
    ),
    sharedStore: true,
    events: await eventsOf(cluster),
  }
  say(`judging ${history.events.length} events`)
  return {
    violations: check(history),
    acked: load.acked.length,
    counts: load.counts,
    faults: nemesis.done,
    ...repetitions(history),
    inconclusive: whyInconclusive(history, nemesis.done, load.counts),
    output: cluster.output(),
  }
}

const CALLERS = 48
const CALM_MS = 3_000
const PROGRESS_MS = 15_000
/** So long after everything was mended, and after the last task that was found ended, the others are waited for. ms */
const DRAIN_MAX_MS = 180_000

/** Reads each task until it has ended; the number of those that have not. */
async function drain(cluster: Cluster, journal: Journal, dice: Dice, tasks: readonly string[]): Promise<number> {
  let giveUpAt = performance.now() + DRAIN_MAX_MS
  return eachOf(tasks, async (taskId, index) => {
    while (performance.now() < giveUpAt) {
      const request = { urls: cluster.urls, dice, journal, taskId, caller: `drain-${index % READERS}`, waitS: 10 }
      const state = await readTask(request)
      if (state !== null && ENDED.has(state)) {
        giveUpAt = performance.now() + DRAIN_MAX_MS
        return true
      }
      await sleep(50)
    }
    return false
  })
}

/** Once more from each gateway: the same answer for everybody. */
async function readAllAgain(cluster: Cluster, journal: Journal, dice: Dice, tasks: readonly string[]): Promise<number> {
  return eachOf(tasks, async (taskId, index) => {
    for (const url of cluster.urls) {
      for (let tries = 0; tries < 5; tries++) {
        const caller = `final-${index % READERS}`
        if ((await readTask({ urls: [url], dice, journal, taskId, caller, final: true })) !== null) break
        await sleep(500)
      }
    }
    return true
  })
}

const READERS = 32

/** The number of tasks for which `act` said false. */
async function eachOf(
  tasks: readonly string[],
  act: (taskId: string, index: number) => Promise<boolean>,
): Promise<number> {
  let next = 0
  let refused = 0
  const lane = async () => {
    while (next < tasks.length) {
      const index = next++
      if (!(await act(tasks[index]!, index))) refused++
    }
  }
  await Promise.all(Array.from({ length: READERS }, lane))
  return refused
}

async function eventsOf(cluster: Cluster): Promise<History['events']> {
  const parts = [
    await readLog(cluster.kafka.bootstrap, Object.keys(CHAOS_QUEUES)),
    readJournal(join(cluster.dir, 'callers.jsonl')),
    readJournal(cluster.ledger),
  ]
  return parts.flat().sort((one, other) => one.t - other.t)
}

function repetitions({ events }: History): Pick<ChaosReport, 'attempts' | 'attemptsTwice' | 'resultsTwice'> {
  const begun = new Set<string>()
  const ended = new Set<string>()
  let attempts = 0
  let attemptsTwice = 0
  let resultsTwice = 0
  for (const event of events) {
    if (event.type === 'exec.start') {
      attempts++
      const name = `${event.taskId} ${event.attempt}`
      if (begun.has(name)) attemptsTwice++
      begun.add(name)
    } else if (event.type === 'log.result') {
      if (ended.has(event.taskId)) resultsTwice++
      ended.add(event.taskId)
    }
  }
  return { attempts, attemptsTwice, resultsTwice }
}

/** A run in which nothing went wrong says nothing about what happens when it does. */
function whyInconclusive({ events }: History, faults: ReadonlyMap<string, number>, counts: LoadCounts): string[] {
  const reasons: string[] = []
  if (total(faults) === 0) reasons.push('no fault ran')
  if (counts.unknown + counts.refused === 0) reasons.push('no submission was refused or left unknown')
  const { attemptsTwice } = repetitions({ queues: new Map(), sharedStore: true, events })
  if (attemptsTwice === 0) reasons.push('no attempt ran twice')
  const started = new Set<string>()
  const finished = new Set<string>()
  for (const event of events) {
    if (event.type === 'exec.start') started.add(event.execution)
    if (event.type === 'exec.end') finished.add(event.execution)
  }
  if (started.size === finished.size) reasons.push('no attempt was cut off')
  if (!events.some((event) => event.type === 'read.ok' && isEnd(event.state))) reasons.push('nobody read an end')
  return reasons
}

function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}
