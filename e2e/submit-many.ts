import { setTimeout as sleep } from 'node:timers/promises'

/** How a task was handed in, kept by the caller, who trusts nobody. */
export interface Handed {
  readonly id: string
  readonly body: string
  readonly key: string | undefined
}

export interface Tally {
  /** Tasks that were acknowledged. */
  readonly acknowledged: Handed[]
  /** Answers by status, errors of the connection as 0. */
  readonly statuses: Map<number, number>
}

export interface SubmitManyOptions {
  readonly urls: readonly string[]
  readonly queue: string
  readonly count: number
  readonly concurrency?: number
  readonly keys?: number
  readonly tag: string
  /** Hands in again, under the same Idempotency-Key, what was not acknowledged, for this long. */
  readonly retryForMs?: number
  /** Hands in nothing more once it is aborted. */
  readonly signal?: AbortSignal
}

/** Hands in `count` tasks with distinct bodies, spread over the gateways. */
export async function submitMany(options: SubmitManyOptions): Promise<Tally> {
  const tally: Tally = { acknowledged: [], statuses: new Map() }
  let next = 0
  const lane = async () => {
    while (next < options.count && !options.signal?.aborted) {
      const number = next++
      const body = `${options.tag}-${number}`
      const key = options.keys === undefined ? undefined : `key-${number % options.keys}`
      const giveUpAt = performance.now() + (options.retryForMs ?? 0)
      for (let tries = 0; ; tries++) {
        const url = options.urls[(number + tries) % options.urls.length]!
        const id = await submitOne(url, options.queue, body, key, tally)
        if (id !== null) {
          tally.acknowledged.push({ id, body, key })
          break
        }
        if (performance.now() > giveUpAt || options.signal?.aborted) break
        await sleep(100)
      }
    }
  }
  await Promise.all(Array.from({ length: options.concurrency ?? 32 }, lane))
  return tally
}

async function submitOne(
  url: string,
  queue: string,
  body: string,
  key: string | undefined,
  tally: Tally,
): Promise<string | null> {
  const headers: Record<string, string> = { 'content-type': 'text/plain' }
  if (key !== undefined) headers['forebay-key'] = key
  const answer = await fetch(`${url}/v1/queues/${queue}/tasks`, {
    method: 'POST',
    body,
    headers,
    signal: AbortSignal.timeout(30_000),
  }).catch(() => null)
  const status = answer?.status ?? 0
  tally.statuses.set(status, (tally.statuses.get(status) ?? 0) + 1)
  if (answer === null) return null
  const said = (await answer.json().catch(() => null)) as { id?: string } | null
  return status === 202 && said?.id !== undefined ? said.id : null
}

export interface Ending {
  readonly state: string
  readonly body: string
}

/** Asks until the task has ended; every later answer must be the same, so callers may ask more than one gateway. */
export async function endingOf(url: string, id: string, withinMs = 60_000): Promise<Ending> {
  const giveUpAt = performance.now() + withinMs
  for (;;) {
    const answer = await fetch(`${url}/v1/tasks/${id}/result`, {
      headers: { prefer: 'wait=10' },
      signal: AbortSignal.timeout(20_000),
    }).catch(() => null)
    if (answer?.status === 200) return { state: 'succeeded', body: await answer.text() }
    const problem =
      answer === null ? null : ((await answer.json().catch(() => null)) as { state?: string; code?: string } | null)
    const state = problem?.state
    if (state !== undefined && ENDED.has(state)) return { state, body: problem?.code ?? '' }
    if (performance.now() > giveUpAt)
      throw new Error(`${id}: no end within ${withinMs} ms; last answer ${answer?.status} ${JSON.stringify(problem)}`)
    await sleep(100)
  }
}

const ENDED = new Set(['succeeded', 'failed', 'dead', 'cancelled', 'expired'])

export async function endingsOf(
  url: string,
  tasks: readonly Handed[],
  withinMs?: number,
): Promise<Map<string, Ending>> {
  const endings = new Map<string, Ending>()
  let next = 0
  const lane = async () => {
    while (next < tasks.length) {
      const { id } = tasks[next++]!
      endings.set(id, await endingOf(url, id, withinMs))
    }
  }
  await Promise.all(Array.from({ length: 32 }, lane))
  return endings
}
