import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDice, type Dice } from '../../chaos/dice.ts'
import { digest, faultDigest, type Journal, nowMs, openJournal, readJournal } from '../../chaos/journal.ts'
import { readLog } from '../../chaos/read-log.ts'
import { check } from '../../history/check.ts'
import type { History, Violation } from '../../history/history.ts'
import { DOORS_QUEUES, type DoorsCluster, startDoorsCluster } from './cluster.ts'
import { answerTo, chunksOf, readErrand, writeErrand } from './errand.ts'
import { openPlace, type Place } from './place.ts'
import { READ_DOORS, type Seen } from './read-doors.ts'
import { SUBMIT_DOORS, type Told, type Wish } from './submit-doors.ts'

export interface DoorsOptions {
  readonly tasks: number
  readonly callers: number
  /** A gateway is killed with -9 so often, and started again. ms */
  readonly killEveryMs: number
  readonly seed: number
  readonly say: (line: string) => void
}

export interface DoorsReport {
  /** What no caller should have met, one sentence each. */
  readonly wrongs: readonly string[]
  readonly violations: readonly Violation[]
  readonly kept: number
  readonly kills: number
  /** Tasks by the two doors that they went through. */
  readonly pairs: ReadonlyMap<string, number>
  /** What went wrong on the way and was promised to go wrong, by door and code. */
  readonly troubles: ReadonlyMap<string, number>
  readonly callbacks: { readonly wanted: number; readonly called: number; readonly calls: number }
  readonly output: string
}

/** Every task goes in by one door drawn at random and comes out by another, while gateways die. */
export async function runDoors(options: DoorsOptions): Promise<DoorsReport> {
  const { say } = options
  say('starting Kafka, PostgreSQL, three gateways behind nginx, two dispatchers and workers')
  await using cluster = await startDoorsCluster()
  const journal = openJournal(join(cluster.dir, 'callers.jsonl'))
  using place = openPlace({ http: cluster.http, grpc: cluster.grpc })
  const run = new DoorsRun(options, cluster, place, journal)
  const over = new AbortController()
  const progress = setInterval(() => say(run.standing()), PROGRESS_MS)
  const killing = run.killGateways(over.signal)
  await run.live()
  over.abort()
  clearInterval(progress)
  await killing
  say(`${run.kept.length} tasks ended under ${run.kills} kills; reading all again at every gateway`)
  await run.readAllAgain()
  await run.untilCalledBack()
  await journal.close()
  return { ...(await run.report()), output: cluster.output() }
}

interface Kept {
  readonly taskId: string
  readonly wish: Wish
}

class DoorsRun {
  readonly kept: Kept[] = []
  kills = 0
  readonly #options: DoorsOptions
  readonly #cluster: DoorsCluster
  readonly #place: Place
  readonly #journal: Journal
  readonly #dice: Dice
  readonly #wrongs: string[] = []
  readonly #pairs = new Map<string, number>()
  readonly #troubles = new Map<string, number>()
  #next = 0
  #read = 0

  constructor(options: DoorsOptions, cluster: DoorsCluster, place: Place, journal: Journal) {
    this.#options = options
    this.#cluster = cluster
    this.#place = place
    this.#journal = journal
    this.#dice = createDice(options.seed)
  }

  standing(): string {
    const [last] = this.#wrongs.slice(-1)
    return `${this.kept.length} kept, ${this.#read} read, ${this.kills} kills${last === undefined ? '' : `; ${last}`}`
  }

  async live(): Promise<void> {
    const callers = Array.from({ length: this.#options.callers }, async (_, index) => {
      while (this.#next < this.#options.tasks) await this.#oneTask(this.#next++, `caller-${index}`)
    })
    await Promise.all(callers)
  }

  async killGateways(signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.#options.killEveryMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      const gateway = this.#dice.pick(this.#cluster.gateways)
      await gateway.kill9()
      this.kills++
      await gateway.start()
    }
  }

  async readAllAgain(): Promise<void> {
    let next = 0
    const lane = async () => {
      while (next < this.kept.length) {
        const { taskId, wish } = this.kept[next++]!
        for (const [index, direct] of this.#cluster.direct.entries()) {
          const asked = nowMs()
          const seen = await READ_DOORS['GET result']!(direct, taskId)
          this.#noteRead(`gateway-${index}`, taskId, asked, seen, true)
          this.#checkAnswer('GET result', `gateway ${index}`, taskId, wish, seen)
        }
      }
    }
    await Promise.all(Array.from({ length: READERS }, lane))
  }

  /** Each callback comes at least once; how often more is counted. */
  async untilCalledBack(): Promise<void> {
    const wanted = this.kept.filter(({ wish }) => wish.callback !== null)
    const giveUpAt = performance.now() + CALLBACKS_WITHIN_MS
    const missing = () => wanted.filter(({ taskId }) => !this.#cluster.receiver.calls.has(taskId))
    while (missing().length > 0 && performance.now() < giveUpAt) await sleep(100)
    for (const { taskId } of missing()) this.#wrongs.push(`callback of ${taskId}: it was never called`)
    for (const { taskId, wish } of wanted) {
      for (const answer of this.#cluster.receiver.calls.get(taskId) ?? []) {
        if (answer !== answerTo(wish.body)) this.#wrongs.push(`callback of ${taskId}: it was told ${answer}`)
      }
    }
    for (const problem of this.#cluster.receiver.problems) this.#wrongs.push(`callback: ${problem}`)
  }

  async report(): Promise<Omit<DoorsReport, 'output'>> {
    const queues = Object.keys(DOORS_QUEUES)
    const parts = [
      await readLog(this.#cluster.bootstrap, queues),
      readJournal(join(this.#cluster.dir, 'callers.jsonl')),
      readJournal(this.#cluster.ledger),
    ]
    const history: History = {
      queues: new Map(
        Object.entries(DOORS_QUEUES).map(([name, queue]) => [
          name,
          { topic: `forebay.tasks.${name}`, ordered: 'order' in queue, attemptsMax: queue.retry.attempts },
        ]),
      ),
      sharedStore: true,
      events: parts.flat().sort((one, other) => one.t - other.t),
    }
    const wanted = this.kept.filter(({ wish }) => wish.callback !== null)
    const calls = wanted.map(({ taskId }) => this.#cluster.receiver.calls.get(taskId)?.length ?? 0)
    return {
      wrongs: this.#wrongs,
      violations: check(history),
      kept: this.kept.length,
      kills: this.kills,
      pairs: this.#pairs,
      troubles: this.#troubles,
      callbacks: {
        wanted: wanted.length,
        called: calls.filter((count) => count > 0).length,
        calls: calls.reduce((sum, count) => sum + count, 0),
      },
    }
  }

  async #oneTask(number: number, caller: string): Promise<void> {
    const wish = this.#wish(number)
    const submitted = await this.#submit(wish, caller)
    if (submitted === null) return
    const { taskId, door } = submitted
    this.kept.push({ taskId, wish })
    const readDoor = this.#dice.pick(Object.keys(READ_DOORS))
    this.#pairs.set(`${door} → ${readDoor}`, (this.#pairs.get(`${door} → ${readDoor}`) ?? 0) + 1)
    const asked = nowMs()
    try {
      const seen = await READ_DOORS[readDoor]!(this.#place, taskId)
      this.#noteRead(caller, taskId, asked, seen, false)
      for (const code of seen.troubles) this.#trouble(readDoor, code)
      this.#checkAnswer(readDoor, caller, taskId, wish, seen)
      this.#read++
    } catch (thrown) {
      this.#wrongs.push(`${readDoor}: ${taskId}: ${(thrown as Error).message}`)
    }
  }

  #wish(number: number): Wish {
    const dice = this.#dice
    const queue = dice.pick(Object.keys(DOORS_QUEUES))
    const key = queue === 'ordered' ? `key-${dice.below(KEYS)}` : null
    const chunks = queue === 'talking' ? 1 + dice.below(8) : 0
    const body = writeErrand({ name: `t${number}`, workMs: dice.below(60), chunks })
    const callback = dice.chance(CALLBACK_SHARE) ? this.#cluster.receiver.url : null
    return { queue, key, body, idempotencyKey: randomUUID(), callback }
  }

  /** Asks by one door after the other, under the same key, until the answer is "kept". */
  async #submit(wish: Wish, by: string): Promise<{ readonly taskId: string; readonly door: string } | null> {
    const doors = Object.keys(SUBMIT_DOORS).filter((name) => name !== 'own route' || wish.queue === 'ordered')
    const giveUpAt = performance.now() + SUBMIT_WITHIN_MS
    let last = ''
    while (performance.now() < giveUpAt) {
      const door = this.#dice.pick(doors)
      const request = randomUUID()
      const { queue, key, idempotencyKey, body } = wish
      const about = { gateway: 'nginx', principal: 'anonymous', queue, key, idempotencyKey, body: digest(body) }
      this.#journal.note({ type: 'submit.invoke', request, ...about }, by)
      const told = await SUBMIT_DOORS[door]!(this.#place, wish)
      this.#noteTold(request, told, by)
      if (told.outcome === 'kept' && told.taskId !== null) {
        if (told.answer !== null && told.answer !== answerTo(body)) {
          this.#wrongs.push(`${door}: ${told.taskId} was answered ${told.answer}`)
        }
        return { taskId: told.taskId, door }
      }
      last = told.code
      this.#trouble(door, told.code)
      await sleep(100 + this.#dice.below(200))
    }
    this.#wrongs.push(`${wish.body}: not kept within ${SUBMIT_WITHIN_MS} ms, at last ${last}`)
    return null
  }

  #noteTold(request: string, { outcome, taskId, replayed, code, answer }: Told, by: string): void {
    if (outcome === 'kept' && taskId !== null) {
      this.#journal.note({ type: 'submit.ok', request, taskId, replayed }, by)
      if (answer === null) return
      this.#journal.note({ type: 'wait.begin', request, taskId, waitMs: 10_000 }, by)
      this.#journal.note({ type: 'wait.end', request, taskId, state: 'succeeded', answer: digest(answer) }, by)
    } else if (outcome === 'refused') this.#journal.note({ type: 'submit.fail', request, code }, by)
    else this.#journal.note({ type: 'submit.unknown', request, taskId, code }, by)
  }

  #noteRead(caller: string, taskId: string, asked: number, { state, answer }: Seen, final: boolean): void {
    const [code = '', ...detail] = answer.split(' ')
    const seen = state === 'succeeded' ? digest(answer) : faultDigest(code, detail.join(' '))
    this.#journal.note({ type: 'read.ok', caller, taskId, asked, waitMs: 10_000, state, answer: seen, final }, caller)
  }

  #checkAnswer(door: string, who: string, taskId: string, { body }: Wish, { state, answer, chunks }: Seen): void {
    if (state !== 'succeeded' || answer !== answerTo(body)) {
      this.#wrongs.push(`${door}: ${who} read ${taskId} as ${state}: ${answer}`)
    }
    if (chunks === null) return
    const right = chunksOf(readErrand(body))
    if (chunks.join() !== right.join()) this.#wrongs.push(`${door}: ${who} saw chunks ${chunks.join()} of ${body}`)
  }

  #trouble(door: string, code: string): void {
    const name = `${door}: ${code}`
    this.#troubles.set(name, (this.#troubles.get(name) ?? 0) + 1)
    if (!PROMISED.has(code)) this.#wrongs.push(`${name}, which no caller should meet`)
  }
}

const PROGRESS_MS = 15_000
const KEYS = 100
const READERS = 32
const CALLBACK_SHARE = 0.1
const CALLBACKS_WITHIN_MS = 60_000
const SUBMIT_WITHIN_MS = 120_000

/** What a caller may meet while a gateway dies under it; each says, or leaves open, that asking again is right. */
const PROMISED: ReadonlySet<string> = new Set([
  'HTTP 0',
  'HTTP 502',
  'HTTP 503',
  'HTTP 504',
  'gRPC UNAVAILABLE',
  'gRPC DEADLINE_EXCEEDED',
  // nginx resets a stream whose gateway died in the middle of its answer; ours would name a code of the table.
  'gRPC INTERNAL',
  'stream broken',
  'stream ended',
  'socket closed',
  'no answer',
  'NOT_ACCEPTED',
  'OUTCOME_UNKNOWN',
  'STOPPING',
  'STORE_BEHIND',
  'BROKER_UNAVAILABLE',
  'IDEMPOTENCY_IN_FLIGHT',
  'OVERLOADED',
])
