import { ForebayError, toForebayError } from '@forebay/protocol'
import type { EventBody } from '../../history/history.ts'
import { digest } from '../../history/record-event.ts'
import type { Timing } from '../../packages/server/src/accept/timing.ts'
import type { TaskView } from '../../packages/server/src/reply/replies.ts'
import type { Journal } from '../journal.ts'
import type { SeededRandom } from '../random.ts'
import type { Schedule } from '../schedule.ts'
import { acceptingQueue, type SimGateway } from './gateway.ts'
import type { SimNode } from './node.ts'

/** One thing that a caller wants done. */
export interface Wish {
  readonly principal: string
  readonly queue: string
  readonly key: string | null
  readonly idempotencyKey: string | null
  readonly payload: Uint8Array
  readonly timing: Timing
  readonly waitMs: number
  /** When to cancel it after it was kept; null for never. */
  readonly cancelAfterMs: number | null
}

export type Reply<Result> =
  | { readonly kind: 'ok'; readonly value: Result }
  | { readonly kind: 'error'; readonly error: ForebayError }
  /** Nobody was there. */
  | { readonly kind: 'refused' }
  /** Sent, and then nothing came any more. */
  | { readonly kind: 'lost' }

export interface CallerParts {
  readonly name: string
  readonly schedule: Schedule
  readonly random: SeededRandom
  readonly journal: Journal
  readonly gateways: readonly SimNode<SimGateway>[]
  /** A process came upon something that it had not expected. */
  readonly onBroken: (error: unknown) => void
  /** Idempotency keys hold at every gateway. */
  readonly sharedStore: boolean
}

const CALL_TIMEOUT_MS = 25_000
const ASK_AGAIN_MS = 3_000
const READS_WHILE_OPEN = 4
const READ_WAIT_MS = 12_000
/** About as long as a task takes that does not wait: to ask just when it ends. ms */
const SOON_MS = 60

/** Somebody outside, who never crashes and is never sure: asks, asks again, switches gateways, waits, reads, cancels. */
export class Caller {
  readonly #parts: CallerParts
  #requests = 0
  readonly taskIds = new Map<string, { readonly principal: string }>()

  constructor(parts: CallerParts) {
    this.#parts = parts
  }

  /** Resolves when it has got through, or cannot know. */
  async want(wish: Wish): Promise<void> {
    const taskId = await this.#submitUntilKept(wish)
    if (taskId === null) return
    if (wish.cancelAfterMs !== null) {
      await this.sleep(wish.cancelAfterMs)
      await this.#cancelUntilAnswered(taskId, wish.principal)
    }
    const { random } = this.#parts
    for (let reads = 0; reads < READS_WHILE_OPEN; reads++) {
      await this.sleep(random.chance(0.4) ? random.between(0, SOON_MS) : random.skewed(2, 8_000))
      const gateway = random.pick(this.#parts.gateways)
      const waitMs = random.chance(0.5) ? READ_WAIT_MS : 0
      const state = await this.read(gateway, taskId, wish.principal, waitMs, false)
      if (state !== null && ENDS.has(state) && random.chance(0.7)) return
    }
  }

  /** How the task stands, or null where the gateway could not say. */
  async read(
    gateway: SimNode<SimGateway>,
    taskId: string,
    principal: string,
    waitMs: number,
    final: boolean,
  ): Promise<string | null> {
    const { schedule, name: caller } = this.#parts
    const asked = Math.round(schedule.nowMs * 1000) / 1000
    const reply = await this.#ask(gateway, async ({ read }) => read(taskId, principal, waitMs))
    if (reply.kind !== 'ok') {
      this.#write({ type: 'read.fail', caller, taskId, code: codeOf(reply), final })
      return null
    }
    const { view } = reply.value
    const state = view?.state ?? 'pending'
    this.#write({ type: 'read.ok', caller, taskId, asked, waitMs, state, answer: answerOf(view), final })
    return state
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#parts.schedule.in(ms, resolve)
    })
  }

  async #submitUntilKept(wish: Wish): Promise<string | null> {
    const { random, gateways, sharedStore } = this.#parts
    let gateway = random.pick(gateways)
    for (;;) {
      const reply = await this.#submit(gateway, wish)
      if (reply.kind === 'ok') return reply.value
      const unknown = isUnknown(reply)
      if (unknown && wish.idempotencyKey === null) return null
      if (reply.kind === 'error' && FINAL_REFUSALS.has(reply.error.code)) return null
      await this.sleep(random.between(10, ASK_AGAIN_MS))
      // While stores are not shared, a key holds at the gateway that has seen it.
      if (wish.idempotencyKey === null || sharedStore) gateway = random.pick(gateways)
    }
  }

  async #submit(gateway: SimNode<SimGateway>, wish: Wish): Promise<Reply<string>> {
    const { journal, name } = this.#parts
    const request = `${name}-${++this.#requests}`
    const { principal, queue, key, idempotencyKey, payload, waitMs } = wish
    const body = digest(payload)
    this.#write({ type: 'submit.invoke', request, gateway: gateway.name, principal, queue, key, idempotencyKey, body })
    const reply = await this.#ask(gateway, async (program, by) => {
      const kept = await program.submit({
        queue: acceptingQueue(queue),
        method: 'POST',
        owner: principal,
        key,
        payload,
        contentType: 'application/json',
        headers: [],
        timing: wish.timing,
        priority: 4,
        idempotencyKey,
        waitMs,
      })
      const { taskId, replayed } = kept
      if (kept.wait === null) return { taskId, replayed, waited: false, view: null }
      journal.write(by, { type: 'wait.begin', request, taskId, waitMs })
      return { taskId, replayed, waited: true, view: await kept.wait.result() }
    })
    if (reply.kind !== 'ok') {
      const code = codeOf(reply)
      const waiting = journal.events.findLast((event) => event.type === 'wait.begin' && event.request === request)
      if (waiting?.type === 'wait.begin') {
        this.#write({ type: 'wait.end', request, taskId: waiting.taskId, state: 'gone', answer: null })
      }
      if (!isUnknown(reply)) this.#write({ type: 'submit.fail', request, code })
      else {
        const told = reply.kind === 'error' ? reply.error.members.task : undefined
        const taskId = typeof told === 'string' ? told : null
        if (taskId !== null) this.taskIds.set(taskId, { principal })
        this.#write({ type: 'submit.unknown', request, taskId, code })
      }
      return reply
    }
    const { taskId, replayed, waited, view } = reply.value
    this.taskIds.set(taskId, { principal })
    this.#write({ type: 'submit.ok', request, taskId, replayed })
    if (waited) {
      this.#write({ type: 'wait.end', request, taskId, state: view?.state ?? null, answer: answerOf(view) })
    }
    return { kind: 'ok', value: taskId }
  }

  async #cancelUntilAnswered(taskId: string, principal: string): Promise<void> {
    const { random, gateways, name } = this.#parts
    for (;;) {
      const request = `${name}-${++this.#requests}`
      this.#write({ type: 'cancel.invoke', request, taskId })
      const reply = await this.#ask(random.pick(gateways), async ({ cancel }) => cancel(taskId, principal))
      if (reply.kind === 'ok') {
        const { view } = reply.value
        const state = view?.state ?? 'pending'
        this.#write({ type: 'cancel.ok', request, taskId, state, answer: answerOf(view) })
        return
      }
      const code = codeOf(reply)
      const certain = reply.kind === 'refused' || (reply.kind === 'error' && CANCELS_NOTHING.has(code))
      this.#write({ type: certain ? 'cancel.fail' : 'cancel.unknown', request, taskId, code })
      if (code === 'TASK_ENDED' || code === 'TASK_NOT_FOUND') return
      await this.sleep(random.between(10, ASK_AGAIN_MS))
    }
  }

  #ask<Result>(
    gateway: SimNode<SimGateway>,
    serve: (program: SimGateway, by: string) => Promise<Result>,
  ): Promise<Reply<Result>> {
    const { schedule, random } = this.#parts
    return new Promise((resolve) => {
      const reply = (word: Reply<Result>) => schedule.in(random.skewed(0.1, 4), () => resolve(word))
      schedule.in(random.skewed(0.1, 4), () => {
        const { process, program } = gateway
        if (!process.alive || !program.ready) return reply({ kind: 'refused' })
        const giveUp = schedule.in(CALL_TIMEOUT_MS, () => resolve({ kind: 'lost' }))
        process.onEnd(() => reply({ kind: 'lost' }))
        process.deliver(() => {
          serve(program, process.name)
            .then(
              (value) => reply({ kind: 'ok', value }),
              (thrown: unknown) => {
                // A door would answer with 500: nothing here may come to that.
                if (!(thrown instanceof ForebayError)) this.#parts.onBroken(thrown)
                reply({ kind: 'error', error: toForebayError(thrown) })
              },
            )
            .finally(() => giveUp.cancel())
        })
      })
    })
  }

  #write(event: EventBody): void {
    this.#parts.journal.write(this.#parts.name, event)
  }
}

const ENDS: ReadonlySet<string> = new Set(['succeeded', 'failed', 'dead', 'cancelled', 'expired'])
/** Asking again the same way will not help. */
const FINAL_REFUSALS: ReadonlySet<string> = new Set(['IDEMPOTENCY_MISMATCH', 'DELAY_UNAVAILABLE'])
const NOTHING_KEPT: ReadonlySet<string> = new Set([
  'NOT_ACCEPTED',
  'IDEMPOTENCY_MISMATCH',
  'IDEMPOTENCY_IN_FLIGHT',
  'DELAY_UNAVAILABLE',
  'STOPPING',
])
const CANCELS_NOTHING: ReadonlySet<string> = new Set(['NOT_ACCEPTED', 'TASK_ENDED', 'TASK_NOT_FOUND'])

function isUnknown(reply: Exclude<Reply<unknown>, { readonly kind: 'ok' }>): boolean {
  if (reply.kind === 'error') return !NOTHING_KEPT.has(reply.error.code)
  return reply.kind === 'lost'
}

function codeOf(reply: Exclude<Reply<unknown>, { readonly kind: 'ok' }>): string {
  return reply.kind === 'error' ? reply.error.code : reply.kind
}

/** As the log's reader names answers: by the bytes of the record. */
function answerOf(view: TaskView | null): string | null {
  if (view === null || !ENDS.has(view.state)) return null
  if (view.payload !== null) return digest(view.payload)
  return digest(Buffer.from(JSON.stringify(view.fault)))
}
