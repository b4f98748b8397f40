import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type Clock, systemClock } from '@forebay/broker'
import { SessionRequestSchema, type SessionResponse, SessionResponseSchema, WelcomeSchema } from '@forebay/protocol'
import fc from 'fast-check'
import { WorkerSession } from '../src/execute/worker-session.ts'
import { WorkerTarget } from '../src/execute/worker-target.ts'
import type { Outcome } from '../src/task.ts'
import { attemptOf } from './execute-fixtures.ts'

type Step =
  | { readonly do: 'run'; readonly queue: 0 | 1; readonly timeoutMs: number; readonly assignment: 0 | 1 }
  | { readonly do: 'grant'; readonly credits: number }
  | { readonly do: 'answer'; readonly which: number }
  | { readonly do: 'garble'; readonly bytes: Uint8Array }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'lose'; readonly assignment: 0 | 1 }
  | { readonly do: 'read' }
  | { readonly do: 'drain' | 'leave' | 'disconnect' }

const often: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('run' as const),
    queue: fc.constantFrom(0 as const, 1 as const),
    timeoutMs: fc.integer({ min: 1, max: 500 }),
    assignment: fc.constantFrom(0 as const, 1 as const),
  }),
  fc.record({ do: fc.constant('grant' as const), credits: fc.constantFrom(0, 1, 3, 10_000, 0xffffffff) }),
  fc.record({ do: fc.constant('answer' as const), which: fc.nat(40) }),
  fc.record({ do: fc.constant('pass' as const), ms: fc.nat(300) }),
  fc.record({ do: fc.constant('read' as const) }),
)
const seldom: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('garble' as const), bytes: fc.uint8Array({ maxLength: 12 }) }),
  fc.record({ do: fc.constant('lose' as const), assignment: fc.constantFrom(0 as const, 1 as const) }),
  fc.record({ do: fc.constantFrom('drain' as const, 'leave' as const, 'disconnect' as const) }),
)
const histories = fc.array(fc.oneof({ weight: 12, arbitrary: often }, { weight: 1, arbitrary: seldom }), {
  maxLength: 80,
})

/** Time that the test moves, timers and all. */
class HandClock implements Clock {
  nowMs = 1000
  #timers = new Set<{ atMs: number; callback: () => void }>()
  wallMs = () => this.nowMs
  monotonicMs = () => this.nowMs
  sleep = systemClock.sleep

  timer(delayMs: number, callback: () => void) {
    const timer = { atMs: this.nowMs + delayMs, callback }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  pass(ms: number): void {
    const untilMs = this.nowMs + ms
    for (;;) {
      const due = [...this.#timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.nowMs = Math.max(this.nowMs, due.atMs)
      due.callback()
    }
    this.nowMs = untilMs
  }
}

/** Two queues served by one worker, which reads only when the history says so. */
function setUp() {
  const clock = new HandClock()
  const targets = [new WorkerTarget('a', clock), new WorkerTarget('b', clock)] as const
  const unread: { frame: Buffer; written: () => void }[] = []
  const frames: SessionResponse[] = []
  let ends = 0
  const session = new WorkerSession(
    {
      clock,
      welcome: create(WelcomeSchema, { heartbeatMs: 1000, leaseMs: 3000, resultBytesMax: 1000 }),
      targetsOf: () => targets,
      flushSoon: () => {},
      outcomeRefused: () => {},
      joined: () => {},
    },
    {
      write: (frame, written) => void unread.push({ frame, written }),
      end: () => {
        ends++
      },
      pause: () => {},
      resume: () => {},
    },
    'peer',
  )
  const say = (message: MessageInitShape<typeof SessionRequestSchema>) =>
    session.received(toBinary(SessionRequestSchema, create(SessionRequestSchema, message)))
  const read = () => {
    session.flush()
    for (const { frame, written } of unread.splice(0)) {
      frames.push(fromBinary(SessionResponseSchema, frame))
      written()
    }
  }
  say({ hello: { queues: ['a', 'b'] } })
  return { clock, targets, session, frames, say, read, ends: () => ends }
}

describe('histories of a worker session', () => {
  it('resolve every attempt exactly once, spend no credit twice and never go below zero', async () => {
    await fc.assert(
      fc.asyncProperty(histories, async (history) => {
        const { clock, targets, session, frames, say, read, ends } = setUp()
        const assignments = [new AbortController(), new AbortController()] as const
        const payload = Buffer.alloc(100_000)
        let granted = 0
        let handed = 0
        const outcomes: Promise<Outcome>[] = []
        for (const step of history) {
          switch (step.do) {
            case 'run': {
              const { capacity } = targets[step.queue]
              const lost = assignments[step.assignment].signal
              if (capacity > 0 && !lost.aborted) handed++
              outcomes.push(targets[step.queue].run(attemptOf({ payload }, { timeoutMs: step.timeoutMs, lost })))
              break
            }
            case 'grant':
              granted += step.credits
              say({ credits: step.credits })
              break
            case 'answer':
              say({ outcomes: [{ lease: step.which, end: { case: 'success', value: {} } }] })
              break
            case 'garble':
              session.received(step.bytes)
              break
            case 'pass':
              clock.pass(step.ms)
              break
            case 'lose':
              assignments[step.assignment].abort()
              break
            case 'read':
              read()
              break
            case 'drain':
              session.drain()
              break
            case 'leave':
              say({ draining: true })
              break
            case 'disconnect':
              session.end(null)
          }
          assert.equal(targets[0].capacity, targets[1].capacity)
          assert.equal(targets[0].capacity, session.spendable)
          assert.ok(session.spendable >= 0 && session.spendable + session.held <= 10_000)
          assert.equal(targets[0].open.size + targets[1].open.size, session.held)
          if (!history.some((other) => other.do === 'garble')) assert.ok(handed <= granted)
        }
        read()
        session.end(null)
        clock.pass(1000)
        assert.deepEqual([session.held, session.spendable, ends()], [0, 0, 1])
        const leases = frames.flatMap(({ attempts }) => attempts.map(({ lease }) => lease))
        assert.equal(new Set(leases).size, leases.length)
        await Promise.all(outcomes)
      }),
      { numRuns: 2000 },
    )
  })
})
