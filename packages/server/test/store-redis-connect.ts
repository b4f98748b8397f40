import type { StoreContractOptions } from '../src/store/contract/contract.ts'
import { redisStore } from '../src/store/redis/redis.ts'
import type { Store } from '../src/store/store.ts'

/** A place is a prefix of its own in the server at `url`. The contract's child processes reach it by this. */
export function connect(url: string, place: string, options: StoreContractOptions): Store {
  // The server's clock is not this process's: setting the one does nothing to the other.
  const serverNowMs = () => SERVER_START_MS + options.clock.monotonicMs()
  return redisStore({ ...options, url, prefix: `${place}:`, serverNowMs })
}

const SERVER_START_MS = 1_700_000_000_000
