import type { Clock, Random, Timer } from '@forebay/broker'
import { toForebayError } from '@forebay/protocol'
import type { ReadTask, TaskRead } from '../accept/read-task.ts'
import type { WebhookOptions } from '../options.ts'
import type { TaskView } from '../reply/replies.ts'
import type { CallbackConclusion, Callbacks, DueCallback } from '../store/callbacks.ts'
import type { Telemetry } from '../telemetry.ts'
import { type AllowedTargets, allowedTargets } from './allowed-targets.ts'
import { checkCallbackUrl } from './callback-url.ts'
import { webhookHeaders, webhookMessage } from './message.ts'
import { afterCall, detailOf } from './retry-delay.ts'
import { secretsOf } from './secrets-of.ts'
import type { Send, Sent } from './send.ts'
import { unlessAborted } from './unless-aborted.ts'

/**
 * Calls those who want to know that a task has ended. Each gateway takes callbacks that are due from the store, a
 * lease each, so that one of them makes the call; what it was about to do when it died another does when the lease is
 * over. So a receiver is called at least once, and the id tells it what it has had already.
 *
 * What is sent is what every reader is told (P2): where this gateway cannot make sure of that right now, the callback
 * goes back, and no try was made.
 */
export interface Deliverer {
  start(): void
  /** A task got a callback here; looks at once where that may be due already. */
  expect(taskId: string, mayHaveEnded: boolean): void
  /** The store has a result; looks at once where a callback waits for it. */
  ended(taskId: string): void
  /** Looks for what is due. */
  wake(): void
  /** Takes nothing new, waits for the calls that are under way, and cuts them off when the signal aborts. */
  stop(signal: AbortSignal): Promise<void>
}

export interface DelivererParts {
  readonly callbacks: Callbacks
  readonly options: WebhookOptions
  readonly readTask: ReadTask
  readonly send: Send
  /** Names this process among those that share the store. */
  readonly taker: string
  readonly clock: Clock
  readonly random: Random
  readonly telemetry: Telemetry
}

export function createDeliverer(parts: DelivererParts): Deliverer {
  return new CallbackDeliverer(parts)
}

class CallbackDeliverer implements Deliverer {
  readonly #parts: DelivererParts
  readonly #allowed: AllowedTargets
  readonly #cut = new AbortController()
  readonly #calls = new Set<Promise<void>>()
  /** Tasks that got a callback here and have not ended, as far as there is room: for others the next look is soon enough. */
  readonly #expected = new Set<string>()
  #timer: Timer | null = null
  #looking: Promise<void> | null = null
  #lookAgain = false
  #stopping = false

  constructor(parts: DelivererParts) {
    this.#parts = parts
    this.#allowed = allowedTargets(parts.options.allow)
  }

  start(): void {
    this.wake()
  }

  expect(taskId: string, mayHaveEnded: boolean): void {
    if (this.#expected.size < EXPECTED_MAX) this.#expected.add(taskId)
    if (mayHaveEnded) this.wake()
  }

  ended(taskId: string): void {
    if (this.#expected.delete(taskId)) this.wake()
  }

  wake(): void {
    if (this.#stopping) return
    if (this.#looking !== null) {
      this.#lookAgain = true
      return
    }
    this.#timer?.cancel()
    this.#looking = this.#look().then((nextMs) => {
      this.#looking = null
      if (this.#stopping) return
      if (this.#lookAgain) this.wake()
      else this.#timer = this.#parts.clock.timer(nextMs, () => this.wake())
    })
  }

  async stop(signal: AbortSignal): Promise<void> {
    this.#stopping = true
    this.#timer?.cancel()
    const cut = () => this.#cut.abort()
    if (signal.aborted) cut()
    else signal.addEventListener('abort', cut, { once: true })
    await this.#looking
    await Promise.all(this.#calls)
    signal.removeEventListener('abort', cut)
  }

  /** Takes what is due as far as there is room. Resolves with when to look again; never rejects. ms */
  async #look(): Promise<number> {
    const { callbacks, options, clock, telemetry } = this.#parts
    this.#lookAgain = false
    try {
      for (;;) {
        const countMax = Math.min(TAKE_MAX, options.concurrency - this.#calls.size)
        // Whichever call ends first wakes.
        if (countMax <= 0 || this.#stopping) return LOOK_MS_MAX
        const { perHost: perHostMax, timeoutMs } = options
        const leaseMs = timeoutMs + AROUND_CALL_MS
        const taken = await callbacks.take({ countMax, perHostMax, leaseMs, taker: this.#parts.taker })
        for (const callback of taken) this.#begin(callback)
        if (taken.length < countMax) break
      }
      const nextMs = await callbacks.nextDueMs()
      const inMs = nextMs === null ? LOOK_MS_MAX : nextMs - clock.wallMs()
      telemetry.metrics.webhooksLate.set(Math.max(0, -inMs) / 1_000)
      return Math.min(Math.max(inMs, LOOK_MS_MIN), LOOK_MS_MAX)
    } catch (err) {
      telemetry.log.warn({ err }, 'looking for callbacks that are due failed')
      return LOOK_MS_MAX
    }
  }

  #begin(callback: DueCallback): void {
    const { telemetry } = this.#parts
    const call = this.#run(callback)
      .catch((err: unknown) => {
        telemetry.log.warn({ err, callback: callback.id, task: callback.taskId }, 'a callback comes again later')
      })
      .then(() => {
        this.#calls.delete(call)
        telemetry.metrics.webhooksRunning.set(this.#calls.size)
        this.wake()
      })
    this.#calls.add(call)
    telemetry.metrics.webhooksRunning.set(this.#calls.size)
  }

  async #run(callback: DueCallback): Promise<void> {
    const { clock, telemetry } = this.#parts
    const atMs = clock.wallMs()
    const beganMs = clock.monotonicMs()
    const read = await this.#read(callback)
    if (read === 'later') {
      telemetry.metrics.webhooks.inc({ outcome: 'later' })
      return
    }
    const sent: Sent = read === 'gone' ? GONE : await this.#send(callback, read)
    if (sent.kind === 'cut') return
    const then = read === 'gone' ? ({ kind: 'given-up' } as const) : this.#then(callback, sent)
    const durationMs = Math.round(clock.monotonicMs() - beganMs)
    const status = sent.kind === 'answered' ? sent.status : null
    await this.#conclude(callback, { atMs, durationMs, status, detail: detailOf(sent) }, then)
  }

  /** 'later': it cannot be said right now how the task ended, or it has been given a new life. 'gone': nobody knows any more. */
  async #read({ taskId, owner, generation }: DueCallback): Promise<'later' | 'gone' | (TaskRead & { view: TaskView })> {
    try {
      const { signal } = this.#cut
      const { id, view } = await unlessAborted(this.#parts.readTask(taskId, owner, 0, signal), signal)
      if (view === null || view.finishedAtMs === null || view.generation < generation) return 'later'
      return { id, view }
    } catch (thrown) {
      const { code } = toForebayError(thrown)
      return code === 'TASK_GONE' || code === 'TASK_NOT_FOUND' ? 'gone' : 'later'
    }
  }

  /** Judged again: what may be called can have changed since the callback was kept. */
  async #send({ id, owner, url }: DueCallback, read: TaskRead & { view: TaskView }): Promise<Sent> {
    const { options, send, clock } = this.#parts
    const secrets = secretsOf(options, owner)
    if (secrets.length === 0)
      return { kind: 'failed', detail: 'This server has no secret to sign calls of its owner with.' }
    let target: ReturnType<typeof checkCallbackUrl>
    try {
      target = checkCallbackUrl(url, { ports: options.ports, allowed: this.#allowed })
    } catch (thrown) {
      return { kind: 'failed', detail: toForebayError(thrown).message }
    }
    const body = webhookMessage(read)
    // Who drops what it has had by its id must not drop the end of a new life.
    const { generation } = read.view
    const webhookId = generation === 0 ? id : `${id}.${generation}`
    const headers = webhookHeaders({ id: webhookId, secrets, wallMs: clock.wallMs() }, body)
    return send({ url: target, headers, body }, this.#cut.signal)
  }

  #then({ tries }: DueCallback, sent: Exclude<Sent, { kind: 'cut' }>): CallbackConclusion['then'] {
    const { options, clock, random } = this.#parts
    return afterCall(sent, { tries, waitsMs: options.waitsMs, wallMs: clock.wallMs(), random })
  }

  /** The call has been made: a store that is away for a moment should not have it made again. */
  async #conclude(
    { id, taskId, host }: DueCallback,
    attempt: CallbackConclusion['attempt'],
    then: CallbackConclusion['then'],
  ): Promise<void> {
    const { callbacks, taker, clock, telemetry } = this.#parts
    const about = { callback: id, task: taskId, host, status: attempt.status, detail: attempt.detail }
    for (let tries = 1; ; tries++) {
      try {
        const isOurs = await callbacks.conclude({ id, taker, attempt, then })
        telemetry.metrics.webhooks.inc({ outcome: isOurs ? then.kind : 'lost' })
        if (then.kind === 'given-up') telemetry.log.warn(about, 'a callback was given up')
        else if (then.kind === 'disabled') telemetry.log.info(about, 'a receiver wants no more callbacks')
        return
      } catch (thrown) {
        if (tries === CONCLUDE_TRIES) throw thrown
        await clock.sleep(CONCLUDE_AGAIN_MS, this.#cut.signal)
      }
    }
  }
}

const GONE = { kind: 'failed', detail: 'The result of the task is not kept any more.' } as const

/** Of one question to the store. */
const TAKE_MAX = 100
/** Between two looks where something is due that has to wait for others of its host. ms */
const LOOK_MS_MIN = 250
/** Between two looks at most: finds what another gateway left when it died, and results that were applied elsewhere. ms */
const LOOK_MS_MAX = 5_000
/** What a lease leaves for reading the result before the call, and for writing down what came of it. ms */
const AROUND_CALL_MS = 20_000
const CONCLUDE_TRIES = 4
const CONCLUDE_AGAIN_MS = 1_000
/** Tasks whose end is listened for; some 100 bytes each. */
const EXPECTED_MAX = 100_000
