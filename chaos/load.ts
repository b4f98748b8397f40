import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dice } from './dice.ts'
import { digest, faultDigest, type Journal, nowMs } from './journal.ts'
import { writeScript } from './script.ts'

export interface LoadOptions {
  /** Of all gateways: each request goes to any. */
  readonly urls: readonly string[]
  readonly callers: number
  readonly dice: Dice
  readonly journal: Journal
  /** Submissions a second, all callers together. */
  readonly perS: number
  readonly signal: AbortSignal
}

export interface Load {
  /** Ids of tasks that were acknowledged. */
  readonly acked: readonly string[]
  /** Resolves when every caller has ended after the signal. */
  readonly done: Promise<void>
  readonly counts: LoadCounts
}

export interface LoadCounts {
  ok: number
  refused: number
  unknown: number
  cancels: number
}

const QUEUES = ['ordered', 'plain', 'parking'] as const
const KEYS = 200

/** Callers who trust nobody: each writes down what it asked, what it was told, and what it read later, and from whom. */
export function startLoad(options: LoadOptions): Load {
  const { callers, dice, signal, perS } = options
  const acked: string[] = []
  const counts: LoadCounts = { ok: 0, refused: 0, unknown: 0, cancels: 0 }
  let number = 0
  const live = async (name: string) => {
    const caller = new Caller(name, options, acked, counts)
    while (!signal.aborted) {
      const began = performance.now()
      await caller.submit(number++)
      const earlier = acked[dice.below(Math.max(1, acked.length))]
      if (earlier !== undefined && dice.chance(0.3)) await readTask({ ...options, taskId: earlier, caller: name })
      const pauseMs = (callers * 1000) / perS - (performance.now() - began)
      if (pauseMs > 0) await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }
  const done = Promise.all(Array.from({ length: callers }, (_, index) => live(`caller-${index}`))).then(() => {})
  return { acked, done, counts }
}

interface Wish {
  readonly queue: (typeof QUEUES)[number]
  readonly key: string | null
  readonly body: string
  readonly delayMs: number
  readonly waitS: number
}

class Caller {
  readonly #name: string
  readonly #options: LoadOptions
  readonly #acked: string[]
  readonly #counts: LoadCounts

  constructor(name: string, options: LoadOptions, acked: string[], counts: LoadCounts) {
    this.#name = name
    this.#options = options
    this.#acked = acked
    this.#counts = counts
  }

  /** Asks, and asks again under the same key where the answer was not "kept", for `RETRY_FOR_MS`. */
  async submit(number: number): Promise<void> {
    const { dice } = this.#options
    const wish = this.#wish(number)
    const idempotencyKey = randomUUID()
    const giveUpAt = performance.now() + RETRY_FOR_MS
    while (performance.now() < giveUpAt) {
      const taskId = await this.#ask(wish, idempotencyKey)
      if (taskId === null) {
        await sleep(200 + dice.below(600))
        continue
      }
      this.#counts.ok++
      this.#acked.push(taskId)
      if (wish.waitS === 0 && dice.chance(0.02)) await this.#cancel(taskId)
      return
    }
  }

  #wish(number: number): Wish {
    const { dice } = this.#options
    const queue = dice.pick(QUEUES)
    const key = queue === 'plain' ? null : `key-${dice.below(KEYS)}`
    const failures = dice.chance(0.03) ? 1 + dice.below(2) : 0
    const body = writeScript({ name: `t${number}`, workMs: dice.below(150), failures })
    const delayMs = dice.chance(0.03) ? 1_000 + dice.below(15_000) : 0
    const waitS = delayMs === 0 && failures === 0 && dice.chance(0.3) ? 10 : 0
    return { queue, key, body, delayMs, waitS }
  }

  /** The task's id when it was kept. */
  async #ask({ queue, key, body, delayMs, waitS }: Wish, idempotencyKey: string): Promise<string | null> {
    const { urls, dice, journal } = this.#options
    const headers: Record<string, string> = { 'content-type': 'text/plain', 'idempotency-key': idempotencyKey }
    if (key !== null) headers['forebay-key'] = key
    if (delayMs > 0) headers['forebay-delay'] = `${delayMs}ms`
    if (waitS > 0) headers.prefer = `wait=${waitS}`
    const gateway = dice.pick(urls)
    const request = randomUUID()
    const by = this.#name
    const about = { gateway, principal: 'anonymous', queue, key, idempotencyKey, body: digest(body) }
    journal.note({ type: 'submit.invoke', request, ...about }, by)
    const answer = await ask(`${gateway}/v1/queues/${queue}/tasks`, { method: 'POST', body, headers })
    const { status, text } = answer
    const members = membersOf(text)
    const taskId = answer.headers?.get('forebay-task') ?? members.id ?? members.task ?? null
    if ((status === 200 || status === 202) && taskId !== null) {
      const replayed = answer.headers?.get('idempotent-replayed') === 'true'
      journal.note({ type: 'submit.ok', request, taskId, replayed }, by)
      const state = status === 200 ? 'succeeded' : null
      if (waitS > 0) {
        journal.note({ type: 'wait.begin', request, taskId, waitMs: waitS * 1000 }, by)
        journal.note({ type: 'wait.end', request, taskId, state, answer: state && digest(text) }, by)
      }
      return taskId
    }
    const code = members.code ?? `HTTP ${status}`
    if ((status >= 400 && status < 500) || code === 'NOT_ACCEPTED') {
      this.#counts.refused++
      journal.note({ type: 'submit.fail', request, code }, by)
    } else {
      this.#counts.unknown++
      journal.note({ type: 'submit.unknown', request, taskId, code }, by)
    }
    return null
  }

  async #cancel(taskId: string): Promise<void> {
    const { urls, dice, journal } = this.#options
    const request = randomUUID()
    this.#counts.cancels++
    journal.note({ type: 'cancel.invoke', request, taskId }, this.#name)
    const { status, text } = await ask(`${dice.pick(urls)}/v1/tasks/${taskId}`, { method: 'DELETE' })
    const members = membersOf(text)
    if (status === 200) {
      const answer = faultDigest('TASK_CANCELLED', members.problem?.detail ?? '')
      journal.note({ type: 'cancel.ok', request, taskId, state: members.state ?? 'cancelled', answer }, this.#name)
    } else {
      const code = members.code ?? `HTTP ${status}`
      const type = status >= 400 && status < 500 ? 'cancel.fail' : 'cancel.unknown'
      journal.note({ type, request, taskId, code }, this.#name)
    }
  }
}

/** How long a caller asks again under the same key before it gives up. ms */
const RETRY_FOR_MS = 60_000

export interface ReadRequest extends Pick<LoadOptions, 'urls' | 'dice' | 'journal'> {
  readonly taskId: string
  readonly caller: string
  readonly waitS?: number
  /** After everything was mended. */
  readonly final?: boolean
}

/** The state that was read; null where the gateway could not say. */
export async function readTask(request: ReadRequest): Promise<string | null> {
  const { urls, dice, journal, taskId, caller, waitS = 0, final = false } = request
  const asked = nowMs()
  const headers: Record<string, string> = waitS > 0 ? { prefer: `wait=${waitS}` } : {}
  const { status, text } = await ask(`${dice.pick(urls)}/v1/tasks/${taskId}/result`, { headers })
  const members = status === 200 ? {} : membersOf(text)
  const state = status === 200 ? 'succeeded' : (members.state ?? null)
  if (state === null) {
    journal.note({ type: 'read.fail', caller, taskId, code: members.code ?? `HTTP ${status}`, final }, caller)
    return null
  }
  const answer = answerOf(state, text, members)
  journal.note({ type: 'read.ok', caller, taskId, asked, waitMs: waitS * 1000, state, answer, final }, caller)
  return state
}

function answerOf(state: string, text: string, members: Members): string | null {
  if (state === 'succeeded') return digest(text)
  return ENDED.has(state) ? faultDigest(members.code ?? '', members.detail ?? '') : null
}

export const ENDED: ReadonlySet<string> = new Set(['succeeded', 'failed', 'dead', 'cancelled', 'expired'])

interface Answer {
  /** 0 where there was none. */
  readonly status: number
  readonly text: string
  readonly headers: Headers | null
}

async function ask(url: string, init: RequestInit): Promise<Answer> {
  try {
    const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(ASK_WITHIN_MS) })
    return { status: answer.status, text: await answer.text(), headers: answer.headers }
  } catch {
    return { status: 0, text: '', headers: null }
  }
}

const ASK_WITHIN_MS = 25_000

type Members = Readonly<Partial<Record<'id' | 'task' | 'code' | 'state' | 'detail', string>>> & {
  readonly problem?: { readonly detail?: string }
}

function membersOf(text: string): Members {
  try {
    return JSON.parse(text) as Members
  } catch {
    return {}
  }
}
