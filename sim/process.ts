import type { Clock, Timer } from '@forebay/broker'
import type { SeededRandom } from './random.ts'
import type { Planned, Schedule } from './schedule.ts'

/** Wall time when a run begins. ms since 1970 */
export const WALL_START_MS = Date.UTC(2030, 0, 1)

/**
 * One life of a simulated process. What reaches it from outside (answers, timers) comes through here, so that it can
 * stop at any await: after a crash nothing comes any more, during a pause everything waits and then comes at once.
 */
export class SimProcess {
  readonly name: string
  readonly clock: Clock
  readonly random: SeededRandom
  readonly #schedule: Schedule
  readonly #startedMs: number
  readonly #channels = new Map<string, Channel>()
  readonly #endings = new Set<() => void>()
  #alive = true
  #paused: Pause | null = null
  /** How long it was suspended: time that its own clock does not know of. ms */
  #missedMs = 0
  /** What its wall clock is off by. ms */
  #skewMs = 0

  constructor(name: string, schedule: Schedule, random: SeededRandom) {
    this.name = name
    this.random = random
    this.#schedule = schedule
    this.#startedMs = schedule.nowMs
    this.clock = {
      wallMs: () => Math.floor(WALL_START_MS + schedule.nowMs + this.#skewMs),
      monotonicMs: () => (this.#paused?.sinceMs ?? schedule.nowMs) - this.#startedMs - this.#missedMs,
      timer: (delayMs, callback) => this.#timer(delayMs, callback),
      sleep: (delayMs, signal) => this.#sleep(delayMs, signal),
    }
  }

  get alive(): boolean {
    return this.#alive
  }

  get paused(): boolean {
    return this.#paused !== null
  }

  /** Neither dead nor paused. */
  get reachable(): boolean {
    return this.#alive && this.#paused === null
  }

  jumpClock(byMs: number): void {
    this.#skewMs += byMs
  }

  /** Something arrives from outside. */
  deliver(act: () => void): void {
    if (!this.#alive) return
    if (this.#paused === null) act()
    else this.#paused.answers.push(act)
  }

  /** Called when the process dies or ends, at most once. */
  onEnd(ending: () => void): void {
    this.#endings.add(ending)
  }

  /**
   * Stands still. `suspended`: its clock as well, as that of a machine that sleeps; on waking up it believes that no time
   * has passed.
   */
  pause(suspended: boolean): void {
    if (this.#alive) this.#paused ??= { sinceMs: this.#schedule.nowMs, suspended, timers: [], answers: [] }
  }

  /** What was missed comes now: in one order or the other the timers that are due and the answers that have arrived. */
  resume(): void {
    if (this.#paused === null) return
    const { sinceMs, suspended, answers } = this.#paused
    let timers = this.#paused.timers
    this.#paused = null
    if (suspended) {
      this.#missedMs += this.#schedule.nowMs - sinceMs
      for (const { leftMs, fire } of timers) this.#schedule.in(leftMs, () => this.#fire(fire))
      timers = []
    }
    const due = timers.map(({ fire }) => fire)
    const missed = this.random.chance(0.5) ? [...due, ...answers] : [...answers, ...due]
    let atMs = this.#schedule.nowMs
    for (const act of missed) {
      atMs += 0.001
      this.#schedule.at(atMs, () => this.deliver(act))
    }
  }

  /** Ends at once. Of what it was sending, a part still gets through: what was sent first. */
  crash(): void {
    if (!this.#alive) return
    this.#alive = false
    this.#paused = null
    for (const channel of this.#channels.values()) channel.cut(this.random)
    for (const ending of this.#endings) ending()
    this.#endings.clear()
  }

  /**
   * A call to a server: `arrive` happens there after a while, and may answer at once, later or never; the answer takes
   * its time as well.
   */
  call<Result>(channel: string, latency: Latency, arrive: (answer: Answer<Result>) => void): Promise<Result> {
    return new Promise((resolve, reject) => {
      let line = this.#channels.get(channel)
      if (line === undefined) {
        line = new Channel(this.#schedule)
        this.#channels.set(channel, line)
      }
      const back = (afterMs: number, act: () => void) =>
        this.#schedule.in(afterMs + latency.backMs, () => this.deliver(act))
      line.send(latency.thereMs, latency.ordered, () =>
        arrive({
          ok: (value, afterMs = 0) => back(afterMs, () => resolve(value)),
          error: (error, afterMs = 0) => back(afterMs, () => reject(error)),
        }),
      )
    })
  }

  #timer(delayMs: number, callback: () => void): Timer {
    let cancelled = false
    // As in Node, where no timer is shorter; what waits for the rest of a time would else never get there.
    const planned: Planned = this.#schedule.in(Math.max(1, delayMs), () => {
      this.#fire(() => {
        if (!cancelled) callback()
      })
    })
    return {
      cancel() {
        cancelled = true
        planned.cancel()
      },
    }
  }

  #fire(fire: () => void): void {
    if (!this.#alive) return
    if (this.#paused === null) fire()
    else this.#paused.timers.push({ leftMs: this.#schedule.nowMs - this.#paused.sinceMs, fire })
  }

  #sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        timer.cancel()
        reject(signal?.reason)
      }
      const timer = this.#timer(delayMs, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}

interface Pause {
  readonly sinceMs: number
  readonly suspended: boolean
  readonly timers: {
    /** From the begin of the pause to the moment when it would have fired. */
    readonly leftMs: number
    readonly fire: () => void
  }[]
  readonly answers: (() => void)[]
}

export interface Latency {
  readonly thereMs: number
  readonly backMs: number
  /** Whether it may not overtake what was sent before on its channel. */
  readonly ordered: boolean
}

/** How a server answers a call; the first word counts. */
export interface Answer<Result> {
  ok(value: Result, afterMs?: number): void
  error(error: unknown, afterMs?: number): void
}

/** What one process is sending to one server. */
class Channel {
  readonly #schedule: Schedule
  readonly #onTheWay = new Set<Planned>()
  #lastMs = 0

  constructor(schedule: Schedule) {
    this.#schedule = schedule
  }

  send(thereMs: number, ordered: boolean, arrive: () => void): void {
    let atMs = this.#schedule.nowMs + thereMs
    if (ordered) {
      atMs = Math.max(atMs, this.#lastMs + 0.0001)
      this.#lastMs = atMs
    }
    const planned = this.#schedule.at(atMs, () => {
      this.#onTheWay.delete(planned)
      arrive()
    })
    this.#onTheWay.add(planned)
  }

  cut(random: SeededRandom): void {
    const sent = [...this.#onTheWay]
    const kept = random.whole(0, sent.length)
    for (const planned of sent.slice(kept)) planned.cancel()
    this.#onTheWay.clear()
  }
}
