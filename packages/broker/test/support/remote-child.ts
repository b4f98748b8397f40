import type { Broker } from '../../src/broker.ts'
import type { ConnectOptions } from '../../src/contract/contract.ts'
import { forebayBroker } from '../../src/remote/remote.ts'

/** How the contract's child processes reach the log; the argument is the server's address. When to commit is the server's business. */
export function connect(server: string, { publishTimeoutMs }: ConnectOptions): Broker {
  return forebayBroker({ server, ...(publishTimeoutMs === undefined ? {} : { publishTimeoutMs }) })
}
