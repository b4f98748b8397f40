import { setTimeout as sleep } from 'node:timers/promises'

/** A caller of Forebay by plain HTTP: what any program behind nginx would do. */

export type Answer =
  /** The worker's own answer. */
  | { readonly kind: 'answered'; readonly body: unknown }
  /** Kept; the answer will be there. */
  | { readonly kind: 'accepted'; readonly location: string }
  | { readonly kind: 'refused'; readonly status: number; readonly problem: string }

export interface Question {
  readonly url: string
  readonly body: object
  readonly idempotencyKey: string
  /** How long to wait for the worker's answer; 0 asks only for the acceptance. s */
  readonly waitSeconds: number
}

/** POSTs until there is a clear answer: what may or may not have been kept is asked again under the same key. */
export async function ask(question: Question, onRetry: () => void): Promise<Answer> {
  const request = {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'idempotency-key': question.idempotencyKey,
      ...(question.waitSeconds > 0 ? { prefer: `wait=${question.waitSeconds}` } : {}),
    },
    body: JSON.stringify(question.body),
  }
  return untilClear(question.url, request, onRetry)
}

/** Asks for the answer of a task that was accepted before. */
export async function collect(location: string, onRetry: () => void): Promise<Answer> {
  const request = { headers: { prefer: 'wait=30' } }
  const by = performance.now() + COLLECT_WITHIN_MS
  for (;;) {
    const answer = await untilClear(`${location}/result`, request, onRetry)
    if (answer.kind !== 'accepted' || performance.now() > by) return answer
  }
}

async function untilClear(url: string, request: RequestInit, onRetry: () => void): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url, request).catch(() => null)
    const text = await response?.text().catch(() => null)
    if (response && typeof text === 'string' && !RETRIED.has(response.status)) return toAnswer(url, response, text)
    if (attempt === ATTEMPTS_MAX) {
      return { kind: 'refused', status: response?.status ?? 0, problem: text ?? 'no connection' }
    }
    onRetry()
    await sleep(RETRY_PAUSE_MS * attempt)
  }
}

function toAnswer(url: string, response: Response, text: string): Answer {
  if (response.status === 200) return { kind: 'answered', body: JSON.parse(text) }
  if (response.status === 202) {
    const location = response.headers.get('location')
    return { kind: 'accepted', location: location === null ? url : new URL(location, url).href }
  }
  return { kind: 'refused', status: response.status, problem: text }
}

/** Too fast, or not clear whether it was kept. */
const RETRIED: ReadonlySet<number> = new Set([409, 429, 502, 503, 504])
const ATTEMPTS_MAX = 20
const RETRY_PAUSE_MS = 100
const COLLECT_WITHIN_MS = 120_000
