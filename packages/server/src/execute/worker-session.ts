import { fromBinary } from '@bufbuild/protobuf'
import type { Clock } from '@forebay/broker'
import {
  CancelReason,
  type SessionRequest,
  SessionRequestSchema,
  type Welcome,
  type Outcome as WireOutcome,
  type Output as WireOutput,
} from '@forebay/protocol'
import type { Attempt, Outcome } from '../task.ts'
import { outcomeOf } from './attempt-outcome.ts'
import type { ChunkAccount } from './chunk-account.ts'
import { cutText } from './cut-text.ts'
import { type Cut, type OpenAttempt, outcomeOfCut } from './open-attempts.ts'
import { type FrameSink, type Outgoing, SessionOutbox } from './session-outbox.ts'
import { SessionOutput, type Speaker } from './session-output.ts'
import type { AttemptTaker, WorkerTarget } from './worker-target.ts'

/** What a session needs of the process around it. */
export interface SessionHost {
  readonly clock: Clock
  readonly welcome: Welcome
  /** Finds the targets of a hello's queues; a sentence when it cannot be served. */
  targetsOf(queues: readonly string[]): readonly WorkerTarget[] | string
  /** Asks for `flush` once, at the end of this turn of the event loop. */
  flushSoon(session: WorkerSession): void
  outcomeRefused(): void
  joined(session: WorkerSession, version: string): void
}

/** How a session ends: by a gRPC status, null for OK. */
export interface SessionEnd {
  readonly status: 'INVALID_ARGUMENT' | 'RESOURCE_EXHAUSTED' | 'UNAVAILABLE' | 'DEADLINE_EXCEEDED'
  readonly message: string
}

/** The stream of a session, as far as a session uses it. */
export interface SessionStream extends FrameSink {
  /** Ends it with OK, or with a status and a sentence for the worker. */
  end(end: SessionEnd | null): void
  /** Reads no further: the worker's flow control holds back the rest. */
  pause(): void
  resume(): void
}

/**
 * One worker that dialled in: its credits, the leases it holds, what is to be said to it.
 *
 * A lease is held from the hand-over until the first outcome for it, its timeout or its loss, whatever comes first;
 * `OpenAttempts` of the target arbitrates. An outcome for any other lease is refused and changes nothing.
 */
export class WorkerSession implements AttemptTaker {
  /** For people; the peer's address until a hello names it. */
  worker: string
  /** 'leaving': the worker said so, and half-closes when it is ready. 'drained': this server said so. */
  #phase: 'new' | 'open' | 'leaving' | 'drained' | 'ended' = 'new'
  readonly #host: SessionHost
  readonly #stream: SessionStream
  readonly #outbox: SessionOutbox
  readonly #output: SessionOutput
  readonly #held = new Map<number, Held>()
  #targets: readonly WorkerTarget[] = []
  #turn = 0
  #credits = 0
  /** What the targets count on. */
  #announced = 0
  #lastLease = 0
  #heardMs: number
  #leftInPeace = false

  constructor(host: SessionHost, stream: SessionStream, peer: string) {
    this.worker = peer
    this.#host = host
    this.#stream = stream
    this.#heardMs = host.clock.monotonicMs()
    this.#outbox = new SessionOutbox(stream, host.clock, () => {
      host.flushSoon(this)
      this.#announce()
    })
    this.#output = new SessionOutput({
      kept: (lease, chunks) => this.#kept(lease, chunks),
      pause: () => stream.pause(),
      resume: () => this.#resume(),
    })
  }

  /** Attempts more that it takes right now. */
  get spendable(): number {
    return this.#announced
  }

  /** Attempts that it has and has not answered. */
  get held(): number {
    return this.#held.size
  }

  get ended(): boolean {
    return this.#phase === 'ended'
  }

  /** Spends a credit; call only while `spendable` is above 0. */
  hand(attempt: Attempt, target: WorkerTarget, resolve: (outcome: Outcome) => void): void {
    const held = new Held(this, target, attempt, this.#newLease(), resolve)
    this.#held.set(held.lease, held)
    target.open.add(held)
    this.#credits--
    this.#announced--
    for (const served of this.#targets) served.spendableChanged(-1)
    this.#outbox.attempt(held)
    this.#host.flushSoon(this)
  }

  /** Bytes of one message from the worker. */
  received(bytes: Uint8Array): void {
    if (this.ended) return
    this.#heardMs = this.#host.clock.monotonicMs()
    let message: SessionRequest
    try {
      message = fromBinary(SessionRequestSchema, bytes)
    } catch {
      this.end({ status: 'INVALID_ARGUMENT', message: 'The message is not a forebay.worker.v1.SessionRequest.' })
      return
    }
    if (this.#greeted(message)) this.#take(message)
  }

  /** The worker has nothing more to say. */
  halfClosed(): void {
    this.#leftInPeace = true
    this.end(null)
  }

  flush(): void {
    if (!this.ended) this.#outbox.flush()
    // Writing may have filled it up.
    this.#announce()
  }

  /** Looks after both directions; called now and then. */
  checkLiveness(): void {
    const now = this.#host.clock.monotonicMs()
    const { leaseMs, heartbeatMs } = this.#host.welcome
    if (!this.#output.paused && now - this.#heardMs >= leaseMs) {
      this.end({ status: 'DEADLINE_EXCEEDED', message: `Nothing was heard for ${leaseMs} ms.` })
    } else if (this.#outbox.stalled(now - leaseMs)) {
      this.end({ status: 'DEADLINE_EXCEEDED', message: `Nothing was read for ${leaseMs} ms.` })
    } else if (this.#phase !== 'new') {
      this.#outbox.heartbeat(now - heartbeatMs)
    }
  }

  /** Tells the worker to finish and leave; it ends by itself when nothing is held. */
  drain(): void {
    if (this.#phase === 'new') this.end(STOPPING)
    if (this.#phase !== 'open' && this.#phase !== 'leaving') return
    this.#phase = 'drained'
    this.#outbox.drain()
    this.#announce()
    this.#host.flushSoon(this)
    this.#endWhenDrained()
  }

  /** Ends it now; what it holds is lost. Safe to call twice. */
  end(end: SessionEnd | null): void {
    if (this.ended) return
    this.#outbox.flush()
    this.#phase = 'ended'
    this.#announce()
    for (const target of this.#targets) target.leave(this)
    const outcome = this.#outcomeOfLeaving(end?.message ?? 'The worker left before it answered.')
    for (const held of [...this.#held.values()]) {
      if (held.target.open.remove(held)) held.resolve(outcome)
    }
    this.#held.clear()
    this.#stream.end(end)
  }

  /** By a held attempt whose time is up. */
  cut(held: Held, why: Cut): void {
    this.#callOff(held, CANCEL_REASONS[why], outcomeOfCut(why, this.worker))
    this.#endWhenDrained()
  }

  #callOff(held: Held, reason: CancelReason, outcome: Outcome): void {
    this.#held.delete(held.lease)
    if (held.sent) {
      this.#outbox.cancel(held.lease, reason)
      this.#host.flushSoon(this)
    }
    held.resolve(outcome)
  }

  /** A worker that hands its attempts back by leaving did not die of them: that must not be held against the tasks. */
  #outcomeOfLeaving(message: string): Outcome {
    const { worker } = this
    if (!this.#leftInPeace) return { kind: 'worker-lost', message, worker }
    return { kind: 'failed', code: 'WORKER_LOST', message, then: 'retry', worker }
  }

  /** True when the session is open and `message` may be taken. */
  #greeted(message: SessionRequest): boolean {
    const { hello } = message
    if (this.#phase !== 'new') {
      if (hello === undefined) return true
      this.end({ status: 'INVALID_ARGUMENT', message: 'Only the first message of a session may hold a hello.' })
      return false
    }
    const targets =
      hello === undefined ? 'The first message of a session must hold a hello.' : this.#host.targetsOf(hello.queues)
    if (hello === undefined || typeof targets === 'string') {
      this.end({ status: 'INVALID_ARGUMENT', message: String(targets) })
      return false
    }
    this.worker = cutText(hello.worker, NAME_BYTES_MAX) || this.worker
    this.#targets = targets
    this.#phase = 'open'
    for (const target of targets) target.join(this)
    this.#outbox.welcome(this.#host.welcome)
    this.#host.flushSoon(this)
    this.#host.joined(this, cutText(hello.version, NAME_BYTES_MAX))
    return true
  }

  #take(message: SessionRequest): void {
    for (const output of message.outputs) {
      this.#said(output)
      if (this.ended) return
    }
    for (const outcome of message.outcomes) this.#answered(outcome)
    if (message.draining && this.#phase === 'open') this.#phase = 'leaving'
    this.#credits = Math.min(this.#credits + message.credits, Math.max(0, OPEN_MAX - this.#held.size))
    if (this.#outbox.refusedWaiting > REFUSED_MAX) {
      const text =
        'The worker sends outcomes for leases that it does not hold, and does not read that they are refused.'
      this.end({ status: 'RESOURCE_EXHAUSTED', message: text })
      return
    }
    this.#announce()
    this.#endWhenDrained()
  }

  /** Of a lease that is not held it is dropped: nothing may follow what an attempt ended with. */
  #said(output: WireOutput): void {
    const held = this.#held.get(output.lease)
    if (held === undefined) return
    const fault = this.#output.take(held, output, this.worker)
    if (fault === null) return
    if (fault.ends === 'session') this.end({ status: 'RESOURCE_EXHAUSTED', message: fault.message })
    else if (held.target.open.remove(held)) this.#callOff(held, CancelReason.OUTPUT_REFUSED, fault.outcome)
  }

  #kept(lease: number, chunks: number): void {
    if (this.ended || !this.#held.has(lease)) return
    this.#outbox.kept(lease, chunks)
    this.#host.flushSoon(this)
  }

  #resume(): void {
    // Its words were not read meanwhile.
    this.#heardMs = this.#host.clock.monotonicMs()
    this.#stream.resume()
  }

  #answered(wire: WireOutcome): void {
    const held = this.#held.get(wire.lease)
    if (held === undefined) {
      this.#outbox.refuse(wire.lease)
      this.#host.flushSoon(this)
      this.#host.outcomeRefused()
      return
    }
    this.#held.delete(wire.lease)
    held.target.open.remove(held)
    held.resolve(outcomeOf(wire, this.worker, this.#host.welcome.resultBytesMax))
  }

  /** A worker that drains leaves by itself; one that this server drained is let go when nothing is held. */
  #endWhenDrained(): void {
    if (this.#phase === 'drained' && this.#held.size === 0) this.end(null)
  }

  /** Tells the targets what may be spent here: to all of them before any acts on it, since they share it. */
  #announce(): void {
    const spendable = this.#phase === 'open' && !this.#outbox.blocked ? this.#credits : 0
    const delta = spendable - this.#announced
    if (delta === 0) return
    this.#announced = spendable
    for (const target of this.#targets) target.spendableChanged(delta)
    if (delta < 0) return
    // Each queue is asked first in its turn, else the first one's backlog would take every credit.
    const { length } = this.#targets
    this.#turn = (this.#turn + 1) % length
    for (let offset = 0; offset < length; offset++) this.#targets[(this.#turn + offset) % length]!.onCapacity()
  }

  /** Never 0, and after 2^32 of them never one that is still held. */
  #newLease(): number {
    do this.#lastLease = this.#lastLease >= LEASE_MAX ? 1 : this.#lastLease + 1
    while (this.#held.has(this.#lastLease))
    return this.#lastLease
  }
}

/** An attempt that a session holds. */
class Held implements OpenAttempt, Outgoing, Speaker {
  tick = 0
  sent = false
  chunks: ChunkAccount | null = null
  readonly session: WorkerSession
  readonly target: WorkerTarget
  readonly attempt: Attempt
  readonly lease: number
  readonly resolve: (outcome: Outcome) => void

  constructor(
    session: WorkerSession,
    target: WorkerTarget,
    attempt: Attempt,
    lease: number,
    resolve: (outcome: Outcome) => void,
  ) {
    this.session = session
    this.target = target
    this.attempt = attempt
    this.lease = lease
    this.resolve = resolve
  }

  cut(why: Cut): void {
    this.session.cut(this, why)
  }
}

export const STOPPING: SessionEnd = { status: 'UNAVAILABLE', message: 'This server is about to stop; dial in again.' }

const CANCEL_REASONS: Readonly<Record<Cut, CancelReason>> = {
  'timed-out': CancelReason.TIMED_OUT,
  cancelled: CancelReason.CANCELLED,
  'assignment-lost': CancelReason.ASSIGNMENT_LOST,
  stopped: CancelReason.ASSIGNMENT_LOST,
}

/** Credits and unanswered attempts of one session together, as the protocol says. */
const OPEN_MAX = 10_000

/** Refusals that may wait for a worker that does not read. */
const REFUSED_MAX = 10_000

/** What is kept of a worker's name and version. bytes */
const NAME_BYTES_MAX = 256

const LEASE_MAX = 0xffffffff
