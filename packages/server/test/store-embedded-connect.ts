import { join } from 'node:path'
import type { StoreContractOptions } from '../src/store/contract/contract.ts'
import { embeddedStore } from '../src/store/embedded/embedded.ts'
import type { Store } from '../src/store/store.ts'

/** The contract's child processes reach the embedded store by this. */
export function connect(folder: string, place: string, options: StoreContractOptions): Store {
  return embeddedStore({ ...options, dir: join(folder, place) })
}
