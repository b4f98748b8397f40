import { backoffMs } from '@forebay/broker'
import { RequestError } from './errors.ts'
import type { ResolvedClientOptions } from './options.ts'

export interface Persistence {
  readonly attemptsMax: number
  readonly withinMs: number
  readonly signal: AbortSignal | undefined
}

/** Asks again after failures that may pass, holding back as long as the gateway says and a random bit more. */
export async function persist<T>(
  { clock, random }: ResolvedClientOptions,
  { attemptsMax, withinMs, signal }: Persistence,
  once: () => Promise<T>,
): Promise<T> {
  const untilMs = clock.monotonicMs() + withinMs
  for (let failures = 1; ; failures++) {
    try {
      return await once()
    } catch (thrown) {
      if (!(thrown instanceof RequestError) || !thrown.isRetryable || failures >= attemptsMax) throw thrown
      const pauseMs = (thrown.retryAfterMs ?? 0) + backoffMs(ASK_AGAIN, failures - 1, random)
      if (clock.monotonicMs() + pauseMs > untilMs) throw thrown
      await clock.sleep(pauseMs, signal)
    }
  }
}

const ASK_AGAIN = { firstMs: 100, maxMs: 5_000 }
