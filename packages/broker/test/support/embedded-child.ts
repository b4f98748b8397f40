import type { Broker } from '../../src/broker.ts'
import type { ConnectOptions } from '../../src/contract/contract.ts'
import { embeddedBroker } from '../../src/embedded/embedded.ts'

/** How the contract's child processes reach the log; the argument is its folder. */
export function connect(dir: string, options: ConnectOptions): Broker {
  return embeddedBroker({ dir, ...options })
}
