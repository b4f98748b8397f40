import type { Timer } from '@forebay/broker'
import {
  type Attempt,
  type Cancel,
  CancelReason,
  FailureKind,
  type Outcome,
  type SessionResponse,
  type Welcome,
} from '@forebay/protocol'
import { type Connection, connect } from './connection.ts'
import type { AbortWhy } from './errors.ts'
import { type Frame, inFrames } from './frames.ts'
import { Liveness } from './liveness.ts'
import type { ResolvedWorkerOptions } from './options.ts'
import { type Ended, failure, runHandler } from './run-handler.ts'
import { SessionOutput } from './session-output.ts'
import type { SlotShare } from './slots.ts'
import { Run } from './task.ts'

type Phase =
  /** Hello is on its way; the server has not answered yet. */
  | 'dialing'
  | 'open'
  /** Takes no more attempts and finishes those it has. */
  | 'leaving'
  /** Has said all it had to say; waits for the server to end the stream. */
  | 'closing'
  | 'ended'

/**
 * One stream to one server, from hello to its end. Its attempts live and die with it: an outcome goes to the session
 * that handed the attempt out, or nowhere.
 */
export class Session {
  readonly address: string
  /** Resolves when it takes no more attempts, because it was asked to leave or ended, with how long it took them. ms */
  readonly left: Promise<number>
  readonly ended: Promise<void>
  /** Another session to the same server takes over, at once, and needs the credits that this one did not spend. */
  isReplaced = false
  readonly #options: ResolvedWorkerOptions
  readonly #slots: SlotShare
  readonly #connection: Connection
  readonly #liveness: Liveness
  readonly #runs = new Map<number, Run>()
  readonly #resolveLeft: (livedMs: number) => void
  readonly #resolveEnded: () => void
  #phase: Phase = 'dialing'
  /** Given to the server and not spent. */
  #credits = 0
  #outcomes: Outcome[] = []
  readonly #output = new SessionOutput(() => this.#flushSoon())
  #flushing = false
  #sayDraining = false
  /** Attempts that were sent before the server knew that we leave may still be on the road. */
  #mayArrive = false
  #resultBytesMax = 0
  #welcomedAtMs: number | null = null
  #endTimer: Timer | null = null

  constructor(address: string, options: ResolvedWorkerOptions, slots: SlotShare) {
    this.address = address
    this.#options = options
    this.#slots = slots
    const left = Promise.withResolvers<number>()
    const ended = Promise.withResolvers<void>()
    this.left = left.promise
    this.ended = ended.promise
    this.#resolveLeft = left.resolve
    this.#resolveEnded = ended.resolve
    this.#connection = connect(address, options.credentials, {
      onMessage: (message) => this.#hear(message),
      onEnd: (reason) => this.#end(reason),
    })
    this.#liveness = new Liveness(options.clock, WELCOME_WAIT_MS, {
      onQuiet: () => this.#send(0, { outputs: [], outcomes: [] }, false),
      onSilent: (afterMs) => this.#lose(`it was silent for ${afterMs} ms`),
    })
    slots.attend(
      () => this.#flushSoon(),
      () => this.#dialAgain(),
    )
    this.#credits = slots.takeFree()
    this.#connection.send({
      $typeName: 'forebay.worker.v1.SessionRequest',
      hello: {
        $typeName: 'forebay.worker.v1.Hello',
        queues: [...options.handlers.keys()],
        worker: options.name,
        version: options.version,
      },
      credits: this.#credits,
      outcomes: [],
      outputs: [],
      draining: false,
    })
  }

  /** Takes no more, finishes what runs, then ends. */
  leave(): void {
    if (this.#phase === 'dialing') this.#hangUp()
    if (this.#phase !== 'open') return
    this.#phase = 'leaving'
    this.#sayDraining = true
    this.#mayArrive = this.#credits > 0
    if (this.#mayArrive) {
      this.#endTimer = this.#options.clock.timer(ARRIVALS_MS, () => {
        this.#mayArrive = false
        if (this.isReplaced) this.#giveBackUnspent()
        this.#flushSoon()
      })
    }
    this.#flushSoon()
    this.#resolveLeft(this.#livedMs())
  }

  /** Hands back what still runs, so that the server need not wait to give it to somebody else, then ends. */
  abandon(): void {
    if (this.#phase === 'dialing') this.#hangUp()
    if (this.#phase !== 'open' && this.#phase !== 'leaving') return
    for (const run of this.#runs.values()) {
      run.abort('stopping')
      this.#answer(run.lease, failure('The worker was stopped before it had finished.', FailureKind.RETRYABLE))
    }
    this.#runs.clear()
    this.#phase = 'leaving'
    this.#mayArrive = false
    this.#flush()
  }

  /** Credits cannot be called back from a server, but a session that leaves takes them along. */
  #dialAgain(): void {
    if (this.#phase !== 'open') return
    this.isReplaced = true
    this.leave()
  }

  #hear(message: SessionResponse): void {
    if (this.#phase === 'ended') return
    this.#liveness.heard()
    if (this.#phase === 'dialing' && !this.#open(message.welcome)) return
    for (const attempt of message.attempts) this.#begin(attempt)
    for (const cancel of message.cancels) this.#cancel(cancel)
    for (const { lease, chunks } of message.kept) this.#runs.get(lease)?.kept(chunks)
    if (message.refused.length > 0) {
      this.#options.onEvent({ type: 'outcomes-refused', address: this.address, count: message.refused.length })
    }
    if (message.drain) this.#drained()
  }

  #open(welcome: Welcome | undefined): boolean {
    if (welcome === undefined) {
      this.#lose('its first message had no welcome')
      return false
    }
    this.#phase = 'open'
    this.#welcomedAtMs = this.#options.clock.monotonicMs()
    this.#resultBytesMax = welcome.resultBytesMax
    this.#output.chunkBytesMax = welcome.chunkBytesMax
    this.#output.chunkWindowBytes = welcome.chunkWindowBytes
    this.#liveness.pace(welcome.heartbeatMs || HEARTBEAT_MS_DEFAULT, welcome.leaseMs || LEASE_MS_DEFAULT)
    this.#slots.arrive()
    this.#options.onEvent({ type: 'connected', address: this.address })
    this.#flushSoon()
    return true
  }

  #begin(attempt: Attempt): void {
    if (this.#phase !== 'open' && this.#phase !== 'leaving') return
    if (this.#runs.has(attempt.lease)) {
      this.#lose(`it gave out lease ${attempt.lease} twice`)
      return
    }
    if (this.#credits === 0) {
      this.#answer(attempt.lease, failure('The worker had no room for it.', FailureKind.RETRYABLE))
      return
    }
    const handler = this.#options.handlers.get(attempt.queue)
    if (handler === undefined) {
      this.#credits--
      this.#slots.giveBack(1)
      const message = `This worker does not serve queue '${attempt.queue}'.`
      this.#answer(attempt.lease, failure(message, FailureKind.RETRYABLE))
      return
    }
    this.#credits--
    const run = new Run(attempt, this.#output)
    this.#runs.set(run.lease, run)
    this.#slots.begin(run)
    // Starts the handler at once; never rejects.
    void runHandler(handler, run, this.#resultBytesMax).then((ended) => this.#finish(run, ended))
  }

  #finish(run: Run, { end, error }: Ended): void {
    this.#slots.end(run)
    run.end()
    // Cancelled, handed back, or its session is over: nobody wants the outcome.
    if (this.#runs.get(run.lease) !== run) {
      this.#flushSoon()
      return
    }
    this.#runs.delete(run.lease)
    this.#answer(run.lease, end)
    if (error === undefined) return
    const { id, queue, attempt } = run.task
    this.#options.onEvent({ type: 'attempt-failed', task: id, queue, attempt, error })
  }

  #cancel({ lease, reason }: Cancel): void {
    const run = this.#runs.get(lease)
    if (run === undefined) return
    this.#runs.delete(lease)
    run.abort(ABORT_WHY[reason] ?? 'cancelled')
    this.#flushSoon()
  }

  #drained(): void {
    this.#mayArrive = false
    if (this.#phase === 'open') {
      // The next session may have these slots at once: a draining server hands nothing out.
      const unspent = this.#credits
      this.#credits = 0
      this.leave()
      this.#slots.depart()
      this.#slots.giveBack(unspent)
      this.#options.onEvent({ type: 'drained', address: this.address })
    }
    this.#flushSoon()
  }

  #answer(lease: number, end: Outcome['end']): void {
    this.#outcomes.push({ $typeName: 'forebay.worker.v1.Outcome', lease, end })
    this.#flushSoon()
  }

  /** Once an event-loop turn, so that all that ends in it shares a frame. */
  #flushSoon(): void {
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#flushing = false
    if (this.#phase !== 'open' && this.#phase !== 'leaving') return
    const credits = this.#phase === 'open' ? this.#slots.takeFree() : 0
    this.#credits += credits
    const outputs = this.#output.take()
    const outcomes = this.#outcomes
    this.#outcomes = []
    const draining = this.#sayDraining
    this.#sayDraining = false
    if (credits > 0 || outputs.length > 0 || outcomes.length > 0 || draining) {
      this.#sendAll(credits, inFrames(outputs, outcomes), draining)
    }
    if (this.#phase === 'leaving' && this.#runs.size === 0 && !this.#mayArrive) this.#close()
  }

  #sendAll(credits: number, frames: Frame[], draining: boolean): void {
    const last = frames.pop()!
    for (const frame of frames) this.#send(0, frame, false)
    this.#send(credits, last, draining)
  }

  #send(credits: number, { outputs, outcomes }: Frame, draining: boolean): void {
    this.#liveness.sent()
    this.#connection.send({ $typeName: 'forebay.worker.v1.SessionRequest', credits, outcomes, outputs, draining })
  }

  #close(): void {
    this.#phase = 'closing'
    this.#endTimer?.cancel()
    this.#endTimer = this.#options.clock.timer(CLOSE_WAIT_MS, () => this.#connection.cancel())
    this.#liveness.stopBeating()
    this.#connection.halfClose()
  }

  #hangUp(): void {
    this.#phase = 'closing'
    this.#lose('')
  }

  #lose(reason: string): void {
    this.#end(reason)
    this.#connection.cancel()
  }

  #end(reason: string | null): void {
    if (this.#phase === 'ended') return
    const asWanted = this.#phase === 'closing' || (this.#phase === 'leaving' && this.#runs.size === 0)
    const isTheLast = this.#phase === 'dialing' || this.#phase === 'open'
    this.#phase = 'ended'
    if (isTheLast) this.#slots.depart()
    this.#liveness.stop()
    this.#endTimer?.cancel()
    const attemptsLost = this.#runs.size
    for (const run of this.#runs.values()) run.abort('connection-lost')
    this.#runs.clear()
    this.#giveBackUnspent()
    this.#resolveLeft(this.#livedMs())
    this.#resolveEnded()
    if (asWanted) return
    const why = reason ?? 'it ended the session'
    this.#options.onEvent({ type: 'disconnected', address: this.address, reason: why, attemptsLost })
  }

  #giveBackUnspent(): void {
    const unspent = this.#credits
    this.#credits = 0
    this.#slots.giveBack(unspent)
  }

  #livedMs(): number {
    return this.#welcomedAtMs === null ? 0 : this.#options.clock.monotonicMs() - this.#welcomedAtMs
  }
}

const HEARTBEAT_MS_DEFAULT = 5_000
const LEASE_MS_DEFAULT = 15_000
/** How long dialing and the server's welcome may take together. */
const WELCOME_WAIT_MS = 10_000
/** How long attempts may be on the road that the server sent before it knew that we leave. */
const ARRIVALS_MS = 100
/** How long the server may take to end a stream that we have half-closed. */
const CLOSE_WAIT_MS = 2_000

const ABORT_WHY: Readonly<Record<number, AbortWhy>> = {
  [CancelReason.TIMED_OUT]: 'timed-out',
  [CancelReason.CANCELLED]: 'cancelled',
  [CancelReason.ASSIGNMENT_LOST]: 'assignment-lost',
  [CancelReason.OUTPUT_REFUSED]: 'output-refused',
}
