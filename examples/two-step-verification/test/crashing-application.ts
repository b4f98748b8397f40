import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Clock, type LogRecord, systemClock } from '@forebay/broker'
import { createRelay, DeadError, type Event, type EventLog, RetryError } from '@forebay/events'
import { SILENT_LOG } from '@forebay/server/dispatch'
import { ACCOUNT_EVENTS } from '../events.ts'
import { createHandlers } from '../notification-service/handlers.ts'
import type { MailLedger } from '../notification-service/mail-ledger.ts'
import type { Mailer } from '../notification-service/mailer.ts'
import { openSqliteMailLedger } from '../notification-service/sqlite-mail-ledger.ts'
import { privateSealingKey, publicSealingKey } from '../sealed-code.ts'
import { continueTrace } from '../trace.ts'
import { verify } from '../user-service/account.ts'
import type { AccountStore } from '../user-service/account-store.ts'
import { createAccounts } from '../user-service/accounts.ts'
import { openSqliteAccounts } from '../user-service/sqlite-accounts.ts'
import { createCodeMaker } from '../user-service/verification-code.ts'
import { type AccountData, eventOf, newKeys } from './rig.ts'

/** Where notification-service's process ends while it is at a mail. */
export type MailCrash = 'before' | 'claimed' | 'handed over' | 'done'
/** Where user-service's process ends while it is at a request. */
export type RequestCrash = 'before commit' | 'after commit'

/**
 * Both services on their real databases, outbox, inbox and log, with steps instead of processes: a crash leaves everything
 * in memory behind and opens the same files anew, and the position of the group is where this says.
 */
export class CrashingApplication {
  readonly #dir: string
  readonly #log: EventLog
  readonly #mailer: Mailer
  readonly #clock: Clock
  readonly #keys = KEYS
  readonly #abandoned: { close(): Promise<void> }[] = []
  #nowMs = Date.now()
  #codes = 0
  #store: AccountStore
  #ledger: MailLedger
  /** Of the log, from this run's first event on. */
  #records: LogRecord[] = []
  readonly #from: number
  #position = 0
  /** Every code that was ever made, also of transactions that came to nothing. */
  readonly made: string[] = []
  /** How often the SMTP server's word did not arrive, by event. */
  readonly unknown = new Map<string, number>()

  constructor(parent: string, log: EventLog, from: number, mailer: Mailer) {
    this.#dir = mkdtempSync(join(parent, 'run-'))
    this.#log = log
    this.#from = from
    this.#mailer = mailer
    this.#clock = { ...systemClock, wallMs: () => this.#nowMs }
    this.#store = openSqliteAccounts(join(this.#dir, 'users.db'))
    this.#ledger = openSqliteMailLedger(join(this.#dir, 'notifications.db'))
  }

  /** 'crashed': nobody was answered. */
  async request<Answer>(
    act: (accounts: ReturnType<typeof createAccounts>) => Promise<Answer>,
    crash: RequestCrash | null,
  ): Promise<Answer | 'crashed'> {
    const codes = this.#codeMaker()
    const store = crash === 'before commit' ? withoutCommit(this.#store) : this.#store
    const answer = await act(createAccounts(store, codes, this.#clock)).catch(crashed)
    if (crash === null) return answer
    this.#abandoned.push(this.#store)
    this.#store = openSqliteAccounts(join(this.#dir, 'users.db'))
    return 'crashed'
  }

  /** The relay publishes all there is; one that dies has published and not yet said so to the database. */
  async relay(crash: boolean): Promise<void> {
    const outbox = this.#store.outboxRows()
    if (crash) {
      // What it reads, publishes, and never settles.
      const keep = { ...rowsOf(outbox), settle: async () => {}, close: () => outbox.close() }
      const relay = await createRelay({ outbox: keep, broker: this.#log, events: ACCOUNT_EVENTS, pollMs: 1 })
      const { rows } = await relay.lag()
      while (relay.counts.published < rows) await systemClock.sleep(1)
      await relay.stop()
    } else {
      const relay = await createRelay({ outbox, broker: this.#log, events: ACCOUNT_EVENTS, pollMs: 1 })
      while ((await relay.lag()).rows > 0) await systemClock.sleep(1)
      await relay.stop()
    }
  }

  /** notification-service handles the next event; false where there is none. */
  async deliver(crash: MailCrash | null): Promise<boolean> {
    await this.#readLog()
    const record = this.#records[this.#position]
    if (record === undefined) return false
    const event = eventOf(record)
    const handlers = createHandlers({
      ledger: crash === null ? this.#ledger : crashingLedger(this.#ledger, crash),
      mailer: crash === 'handed over' ? this.#crashingMailer(event) : this.#mailer,
      domain: 'two-step.example',
      keys: [privateSealingKey(this.#keys.privateKey)],
      clock: this.#clock,
      log: SILENT_LOG,
    })
    const handle = handlers[event.type as keyof typeof handlers] as (event: Event, context: object) => Promise<void>
    const { signal } = new AbortController()
    const end = await handle(event, { signal }).then(
      () => 'done' as const,
      (error: unknown) => error,
    )
    if (end === 'done' || end instanceof DeadError) this.#position++
    else if (end === CRASH) this.#restartNotifications()
    else if (!(end instanceof RetryError)) throw end
    return true
  }

  /** The group's position was not committed for so many events: they come again. */
  rewind(events: number): void {
    this.#position = Math.max(0, this.#position - events)
  }

  advance(ms: number): void {
    this.#nowMs += ms
  }

  /** Each once, in the order in which they stand in the log first. */
  async events(): Promise<readonly Event<AccountData>[]> {
    await this.#readLog()
    const byId = new Map(this.#records.map((record) => [eventOf(record).id, eventOf(record)] as const).toReversed())
    return [...byId.values()].toReversed()
  }

  accountRows(): readonly Record<string, unknown>[] {
    const database = new DatabaseSync(join(this.#dir, 'users.db'), { readOnly: true })
    const rows = database.prepare('SELECT * FROM accounts').all()
    database.close()
    return rows
  }

  /** The end of the log, where the next run begins. */
  get end(): number {
    return this.#from + this.#records.length
  }

  async close(): Promise<void> {
    for (const each of [...this.#abandoned, this.#store, this.#ledger]) await each.close()
    rmSync(this.#dir, { recursive: true })
  }

  /** What verifying would say; nothing is written. */
  isGood(address: string, code: string): Promise<boolean> {
    const codes = this.#codeMaker()
    return this.#store.change(address, continueTrace(undefined), (found) => {
      const { answer } = verify(found, code, { nowMs: this.#nowMs, codes })
      return { account: null, happened: null, answer: answer === 'verified' }
    })
  }

  get nowMs(): number {
    return this.#nowMs
  }

  #codeMaker() {
    const { pepper, publicKey } = this.#keys
    return createCodeMaker({ pepper, mailKey: publicSealingKey(publicKey), newCode: () => this.#newCode() })
  }

  #newCode(): string {
    const code = String(++this.#codes).padStart(6, '0')
    this.made.push(code)
    return code
  }

  #restartNotifications(): void {
    this.#abandoned.push(this.#ledger)
    this.#ledger = openSqliteMailLedger(join(this.#dir, 'notifications.db'))
  }

  #crashingMailer({ id }: Event): Mailer {
    const { unknown } = this
    return {
      ...this.#mailer,
      send: async (mail) => {
        await this.#mailer.send(mail)
        unknown.set(id, (unknown.get(id) ?? 0) + 1)
        throw CRASH
      },
    }
  }

  async #readLog(): Promise<void> {
    const [state] = await this.#log.broker.inspect({ topics: ['accounts'] })
    const end = state?.end ?? 0
    if (end === this.end) return
    const listener = await this.#log.broker.listen({ topic: 'accounts', partition: 0, from: this.end })
    for await (const records of listener) {
      this.#records.push(...records)
      if (this.end >= end) break
    }
    await listener.close()
  }
}

const CRASH = new Error('The process has ended.')
const KEYS = newKeys()

function crashed(error: unknown): 'crashed' {
  if (error === CRASH) return 'crashed'
  throw error
}

/** The process ends after the rules have spoken: SQLite rolls back. */
function withoutCommit(store: AccountStore): AccountStore {
  return {
    ...store,
    change: (address, trace, decide) =>
      store.change(address, trace, (found) => {
        decide(found)
        throw CRASH
      }),
  }
}

function crashingLedger(ledger: MailLedger, at: MailCrash): MailLedger {
  return {
    ...ledger,
    async begin(event, mail) {
      if (at === 'before') throw CRASH
      const state = await ledger.begin(event, mail)
      if (at === 'claimed') throw CRASH
      return state
    },
    async end(event, state, answer) {
      await ledger.end(event, state, answer)
      if (at === 'done') throw CRASH
    },
  }
}

/** Methods of a class are not its own properties. */
function rowsOf(outbox: ReturnType<AccountStore['outboxRows']>) {
  return {
    name: outbox.name,
    listen: outbox.listen,
    hold: outbox.hold.bind(outbox),
    release: outbox.release.bind(outbox),
    pending: outbox.pending.bind(outbox),
    refuse: outbox.refuse.bind(outbox),
    prune: outbox.prune.bind(outbox),
    lag: outbox.lag.bind(outbox),
    askForNotices: outbox.askForNotices.bind(outbox),
  }
}
