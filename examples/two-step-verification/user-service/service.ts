import { type Broker, type Clock, systemClock } from '@forebay/broker'
import { createRelay, type EventLog } from '@forebay/events'
import type { Logger } from 'pino'
import { ACCOUNT_EVENTS } from '../events.ts'
import { publicSealingKey } from '../sealed-code.ts'
import { isPostgres, type Service } from '../service-process.ts'
import { createAccounts } from './accounts.ts'
import { createHttpApp } from './http-app.ts'
import { openPostgresAccounts } from './postgres-accounts.ts'
import { openSqliteAccounts } from './sqlite-accounts.ts'
import { createCodeMaker } from './verification-code.ts'

export interface UserServiceOptions {
  readonly broker: Broker | EventLog
  /** postgres://… or the path of a SQLite file. */
  readonly database: string
  /** 0: a free one. */
  readonly port: number
  readonly host?: string
  readonly pepper: Uint8Array
  /** PEM; of notification-service. */
  readonly mailPublicKey: string
  /** From one address. Default 60. */
  readonly requestsPerMinute?: number
  /** Default: no. */
  readonly isBehindProxy?: boolean
  readonly log: Logger
  readonly clock?: Clock
}

/** Registers people, and tells what happened to their accounts. It knows nobody who listens. */
export async function startUserService(options: UserServiceOptions): Promise<Service & { readonly url: string }> {
  const { broker, database, port, host = '127.0.0.1', log, clock = systemClock } = options
  const codes = createCodeMaker({ pepper: options.pepper, mailKey: publicSealingKey(options.mailPublicKey) })
  await using started = new AsyncDisposableStack()
  const store = isPostgres(database) ? await openPostgresAccounts(database, log) : openSqliteAccounts(database)
  started.defer(() => store.close())
  const relay = await createRelay({ outbox: store.outboxRows(), broker, events: ACCOUNT_EVENTS, log, clock })
  started.defer(() => relay.stop())
  const app = createHttpApp({
    accounts: createAccounts(store, codes, clock),
    clock,
    log,
    requestsPerMinute: options.requestsPerMinute ?? REQUESTS_PER_MINUTE_DEFAULT,
    isBehindProxy: options.isBehindProxy ?? false,
  })
  started.defer(() => app.close())
  const url = await app.listen({ port, host })
  // What was opened last is closed first: no request without a store, no relay without its database.
  const running = started.move()
  const stop = () => running.disposeAsync()
  return { url, stop, [Symbol.asyncDispose]: stop }
}

export const REQUESTS_PER_MINUTE_DEFAULT = 60
