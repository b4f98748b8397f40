import { backoffMs } from '@forebay/broker'
import { RequestError, ResultTimeoutError } from './errors.ts'
import type { Answer, Exchange } from './exchange.ts'
import type { ResolvedClientOptions } from './options.ts'
import { taskFailure } from './result.ts'
import { seconds } from './submit.ts'

export interface ResultWait {
  /** When the waiting began, on the client's monotonic clock. */
  readonly sinceMs: number
  readonly withinMs: number
  readonly signal: AbortSignal | undefined
}

/**
 * Asks for a result until it is there or the time is over; each request waits at the gateway. Failures to reach a
 * gateway only cost time. Throws TaskFailedError, ResultTimeoutError, RequestError for a task that cannot be asked for.
 */
export async function awaitResult(
  exchange: Exchange,
  { clock, random, timeoutMs }: ResolvedClientOptions,
  id: string,
  { sinceMs, withinMs, signal }: ResultWait,
): Promise<Answer> {
  const path = `/v1/tasks/${encodeURIComponent(id)}/result`
  const untilMs = sinceMs + withinMs
  for (let failures = 0; ; ) {
    const askedAtMs = clock.monotonicMs()
    const restMs = Math.max(untilMs - askedAtMs, 0)
    const waitMs = Math.min(restMs, POLL_MS_MAX)
    try {
      return await exchange.ask({
        method: 'GET',
        path,
        headers: { prefer: `wait=${seconds(waitMs)}` },
        // The last request ends with the time given; the first is made even when that is 0.
        timeoutMs: restMs === 0 ? timeoutMs : Math.min(waitMs + timeoutMs, restMs + LAST_ANSWER_MS),
        signal,
      })
    } catch (thrown) {
      const failure = taskFailure(thrown, id)
      if (failure !== null) throw failure
      if (!(thrown instanceof RequestError) || !thrown.isRetryable) throw thrown
      const notReady = thrown.code === 'RESULT_NOT_READY'
      failures = notReady ? 0 : failures + 1
      const leftMs = untilMs - clock.monotonicMs()
      const cause = notReady ? undefined : thrown
      if (leftMs <= 0) throw new ResultTimeoutError(id, withinMs, cause)
      // A gateway that could not wait, because too many do, says so at once: only then hold back.
      if (notReady && clock.monotonicMs() - askedAtMs >= Math.min(waitMs, WAITED_MS)) continue
      const pauseMs = (thrown.retryAfterMs ?? 0) + backoffMs(ASK_AGAIN, failures, random)
      if (pauseMs >= leftMs) {
        await clock.sleep(leftMs, signal)
        throw new ResultTimeoutError(id, withinMs, cause)
      }
      await clock.sleep(pauseMs, signal)
    }
  }
}

/** Shorter than what proxies and gateways let a request wait by default. */
const POLL_MS_MAX = 25_000
/** How long the answer to the last request may be on its way. */
const LAST_ANSWER_MS = 250
/** An answer that took this long was waited for. */
const WAITED_MS = 800
const ASK_AGAIN = { firstMs: 100, maxMs: 2_000 }
