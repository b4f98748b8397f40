import type { StoreContractOptions } from '../src/store/contract/contract.ts'
import { postgresStore } from '../src/store/postgres/postgres.ts'
import type { Store } from '../src/store/store.ts'

/** A place is a schema of its own in the server at `url`. The contract's child processes reach it by this. */
export function connect(url: string, place: string, options: StoreContractOptions): Store {
  // The server's clock is not this process's: setting the one does nothing to the other.
  const serverNowMs = () => SERVER_START_MS + options.clock.monotonicMs()
  const schema = place.replaceAll('-', '_')
  return postgresStore({ ...options, url, schema, connectionsMax: 4, serverNowMs })
}

const SERVER_START_MS = 1_700_000_000_000
