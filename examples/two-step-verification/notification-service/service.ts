import { type Broker, type Clock, systemClock } from '@forebay/broker'
import { createConsumer, DeadError, type Event, type EventLog, type RetryGiven } from '@forebay/events'
import { postgresStore } from '@forebay/server/postgres'
import type { Logger } from 'pino'
import { ACCOUNT_EVENTS } from '../events.ts'
import { openCode, privateSealingKey, type SealedCode } from '../sealed-code.ts'
import { isPostgres, type Service } from '../service-process.ts'
import { GROUP, type MailLedger } from './mail-ledger.ts'
import { createMailer } from './mailer.ts'
import { codeMail, welcomeMail } from './mails.ts'
import { openPostgresMailLedger } from './postgres-mail-ledger.ts'
import { type MailOfEvent, sendOnce } from './send-once.ts'
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
  const store = isPostgres(database) ? postgresStore({ url: database, retentionMs: STORE_RETENTION_MS }) : null
  await store?.open()
  started.defer(() => store?.close())

  const parts = { ledger, mailer, domain: from.slice(from.lastIndexOf('@') + 1), log }
  const send = (event: Event, mail: MailOfEvent, { signal }: { readonly signal: AbortSignal }) =>
    sendOnce(event, mail, parts, signal)
  const ofCode = ({ userId, email, firstName, code }: CodeData): MailOfEvent => ({
    kind: 'code',
    to: email,
    write() {
      const expiresAt = new Date(code.expiresAt)
      return clock.wallMs() < expiresAt.getTime() ? codeMail(firstName, open(code, userId), expiresAt) : null
    },
  })
  const open = (code: SealedCode, userId: string) => {
    try {
      return openCode(code, userId, keys)
    } catch (error) {
      throw new DeadError('The code does not open.', { cause: error })
    }
  }
  const consumer = await createConsumer({
    broker,
    group: GROUP,
    events: ACCOUNT_EVENTS,
    handlers: {
      user_account_created: (event, context) => send(event, ofCode(event.data), context),
      verification_code_renewed: (event, context) => send(event, ofCode(event.data), context),
      user_account_verified: (event, context) =>
        send(event, { kind: 'welcome', to: event.data.email, write: () => welcomeMail(event.data.firstName) }, context),
    },
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

interface CodeData {
  readonly userId: string
  readonly email: string
  readonly firstName: string
  readonly code: SealedCode & { readonly expiresAt: string }
}

const FROM_DEFAULT = 'accounts@two-step.example'
const MAILS_AT_ONCE = 16
/** An SMTP server may be away for a day. A code's mail gives up by itself when its code has expired. */
const RETRY: RetryGiven = { attemptsMax: 100_000, withinMs: 24 * 3_600_000, backoffMs: 200, backoffMaxMs: 30_000 }
const DAY_MS = 24 * 3_600_000
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
