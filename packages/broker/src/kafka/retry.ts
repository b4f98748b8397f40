import { ForebayError } from '@forebay/protocol'
import { Backoff } from './backoff.ts'
import type { Cluster } from './cluster.ts'
import { messageOf } from './kafka-error.ts'

/** Tries until it works or the signal aborts; looks anew who leads what before each further try. */
export async function untilItWorks<Result>(
  cluster: Cluster,
  what: string,
  signal: AbortSignal,
  attempt: () => Promise<Result>,
): Promise<Result> {
  const { clock, random, onWarning } = cluster.settings
  const backoff = new Backoff(random)
  for (;;) {
    signal.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof ForebayError && error.code !== 'BROKER_UNAVAILABLE') throw error
      onWarning(`${what} failed; it is tried again.`, { cause: messageOf(error) })
    }
    await clock.sleep(backoff.nextMs(), signal)
    await cluster.refresh().catch(() => {})
  }
}
