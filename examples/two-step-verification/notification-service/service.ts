import { type Broker, type Clock, systemClock } from '@forebay/broker'
import { createConsumer, type EventLog, type RetryGiven } from '@forebay/events'
import { postgresStore } from '@forebay/server/postgres'
import type { Logger } from 'pino'
import { ACCOUNT_EVENTS } from '../events.ts'
import { privateSealingKey } from '../sealed-code.ts'
import { isPostgres, type Service } from '../service-process.ts'
import { createHandlers } from './handlers.ts'
import { GROUP, type MailLedger } from './mail-ledger.ts'
import { createMailer } from './mailer.ts'
import { openPostgresMailLedger } from './postgres-mail-ledger.ts'
import { openSqliteMailLedger } from './sqlite-mail-ledger.ts'

export interface NotificationServiceOptions {
  readonly broker: Broker | EventLog
  /** postgres://… or the path of a SQLite file, which one process at a time uses. */
  readonly database: string
  /** smtp://[user:password@]host:port, or smtps://. */
  readonly smtp: string
  /** Default 'accounts@two-step.example'. */
  readonly from?: string
  /** PEM, the newest first; older ones as long as the log keeps events for them. */
  readonly privateKeys: readonly string[]
  readonly log: Logger
  readonly retry?: RetryGiven
  readonly clock?: Clock
}

/** Sends the mails of accounts; one at a time for each account, in the order in which things happened. */
export async function startNotificationService(options: NotificationServiceOptions): Promise<Service> {
  const { broker, database, from = FROM_DEFAULT, log, clock = systemClock } = options
  const keys = options.privateKeys.map(privateSealingKey)
  await using started = new AsyncDisposableStack()
  const ledger = await openLedger(database, log)
  started.defer(() => ledger.close())
  const mailer = createMailer(options.smtp, from)
  started.defer(() => mailer.close())
  // On PostgreSQL an event that has to wait longer waits there, with its account's later ones behind it.
  const store = isPostgres(database)
    ? postgresStore({ url: database, schema: STORE_SCHEMA, retentionMs: STORE_RETENTION_MS })
    : null
  await store?.open()
  started.defer(() => store?.close())

  const domain = from.slice(from.lastIndexOf('@') + 1)
  const consumer = await createConsumer({
    broker,
    group: GROUP,
    events: ACCOUNT_EVENTS,
    handlers: createHandlers({ ledger, mailer, domain, keys, clock, log }),
    concurrency: MAILS_AT_ONCE,
    retry: { ...RETRY, ...options.retry },
    ...(store === null ? {} : { store }),
    log,
    clock,
  })
  started.defer(async () => void (await consumer.stop()))
  const stopSweeping = sweepDaily(ledger, clock, log)
  started.defer(stopSweeping)
  const running = started.move()
  const stop = () => running.disposeAsync()
  return { url: null, stop, [Symbol.asyncDispose]: stop }
}

const FROM_DEFAULT = 'accounts@two-step.example'
const MAILS_AT_ONCE = 16
/** An SMTP server may be away for a day. A code's mail gives up by itself when its code has expired. */
const RETRY: RetryGiven = { attemptsMax: 100_000, withinMs: 24 * 3_600_000, backoffMs: 200, backoffMaxMs: 30_000 }
const DAY_MS = 24 * 3_600_000
/**
 * Not the default 'forebay': where the database's user has that name too, PostgreSQL would look for our own tables there
 * once the schema exists.
 */
const STORE_SCHEMA = 'waiting_mails'
/** Of the parking rows' store; nothing of ours has results. */
const STORE_RETENTION_MS = DAY_MS
/** Longer than the log keeps events, and than anybody redrives dead letters. */
const LEDGER_RETENTION_MS = 90 * DAY_MS

function openLedger(database: string, log: Logger): Promise<MailLedger> | MailLedger {
  return isPostgres(database) ? openPostgresMailLedger(database, log) : openSqliteMailLedger(database)
}

function sweepDaily(ledger: MailLedger, clock: Clock, log: Logger): () => Promise<void> {
  const stopping = new AbortController()
  const sweeping = (async () => {
    while (!stopping.signal.aborted) {
      await ledger
        .sweep(LEDGER_RETENTION_MS)
        .catch((error) => log.warn({ err: error }, 'Old mails were not forgotten.'))
      await clock.sleep(DAY_MS, stopping.signal).catch(() => {})
    }
  })()
  return async () => {
    stopping.abort()
    await sweeping
  }
}
