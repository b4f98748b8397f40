import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { embeddedBroker } from '@forebay/broker/embedded'
import { openEventLog } from '@forebay/events'
import fc from 'fast-check'
import { ACCOUNT_EVENTS } from '../events.ts'
import { startCatcher } from '../mail-catcher/catcher.ts'
import { createMailer } from '../notification-service/mailer.ts'
import { continueTrace } from '../trace.ts'
import { CrashingApplication, type MailCrash, type RequestCrash } from './crashing-application.ts'

const RUNS = 25
const STEPS_MIN = 10
const STEPS_MAX = 40
const PEOPLE = 2

type Step =
  | { readonly do: 'register' | 'resend'; readonly who: number; readonly crash: RequestCrash | null }
  /** `back`: 0 is the newest code of the mails, 1 the one before. */
  | { readonly do: 'verify'; readonly who: number; readonly back: number; readonly crash: RequestCrash | null }
  | { readonly do: 'relay'; readonly crash: boolean }
  | { readonly do: 'deliver'; readonly crash: MailCrash | null }
  /** All that is on its way, without a crash. */
  | { readonly do: 'arrive' }
  | { readonly do: 'rewind'; readonly events: number }
  | { readonly do: 'wait'; readonly minutes: number }

const BEGINNING: readonly Step[] = [
  { do: 'register', who: 0, crash: null },
  { do: 'register', who: 1, crash: 'after commit' },
  { do: 'relay', crash: true },
]
const who = fc.nat(PEOPLE - 1)
const requestCrash = rarely(fc.constantFrom<RequestCrash>('before commit', 'after commit'))
const mailCrash = rarely(fc.constantFrom<MailCrash>('before', 'claimed', 'handed over', 'done'))
const back = fc.constantFrom(0, 0, 0, 1, 2)
const steps = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant('register' as const), who, crash: requestCrash }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('resend' as const), who, crash: requestCrash }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('verify' as const), who, back, crash: requestCrash }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('relay' as const), crash: fc.boolean() }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant('deliver' as const), crash: mailCrash }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('arrive' as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('rewind' as const), events: fc.integer({ min: 1, max: 4 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), minutes: fc.constantFrom(1, 16, 61) }) },
  ),
  { minLength: STEPS_MIN, maxLength: STEPS_MAX },
)

function rarely<Value>(crash: fc.Arbitrary<Value>): fc.Arbitrary<Value | null> {
  return fc.oneof({ weight: 7, arbitrary: fc.constant(null) }, { weight: 3, arbitrary: crash })
}

test('whatever comes between: one account, one code that is good at a time, one success mail', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-two-step-steps-'))
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rmSync(dir, { recursive: true }))
  const broker = embeddedBroker({ dir: join(dir, 'log'), commitIntervalMs: 10 })
  const log = stack.use(await openEventLog({ broker, events: ACCOUNT_EVENTS, partitions: 1 }))
  const catcher = stack.use(await startCatcher())
  const mailer = createMailer(catcher.smtp, 'accounts@two-step.example')
  stack.defer(() => mailer.close())
  let end = 0
  let run = 0

  await fc.assert(
    fc.asyncProperty(steps, async (taken) => {
      run++
      const application = new CrashingApplication(dir, log, end, mailer)
      const emailOf = (index: number) => `run${run}-${index}@example.com`
      const mailsTo = (email: string) => catcher.mails.list({ to: email, after: 0, limit: 1_000 })
      const codesTo = (email: string) => mailsTo(email).flatMap(({ text }) => codeOf(text) ?? [])
      try {
        for (const step of [...BEGINNING, ...taken]) await take(application, step, emailOf, codesTo)
        // Nobody crashes any more: all that is on its way arrives.
        await arrive(application)
        await check(application, emailOf, mailsTo, codesTo)
      } finally {
        end = application.end
        await application.close()
      }
    }),
    { numRuns: RUNS },
  )
})

async function take(
  application: CrashingApplication,
  step: Step,
  emailOf: (who: number) => string,
  codesTo: (email: string) => readonly string[],
): Promise<void> {
  const trace = continueTrace(undefined)
  if (step.do === 'relay') await application.relay(step.crash)
  else if (step.do === 'deliver') await application.deliver(step.crash)
  else if (step.do === 'arrive') await arrive(application)
  else if (step.do === 'rewind') application.rewind(step.events)
  else if (step.do === 'wait') application.advance(step.minutes * 60_000)
  else {
    const email = emailOf(step.who)
    const registration = { firstName: 'Ada', lastName: 'Lovelace', email, address: email }
    if (step.do === 'register') await application.request((one) => one.register(registration, trace), step.crash)
    if (step.do === 'resend') await application.request((one) => one.resend(email, trace), step.crash)
    if (step.do === 'verify') {
      const code = codesTo(email).at(-1 - step.back) ?? '999999'
      await application.request((one) => one.verify(email, code, trace), step.crash)
    }
  }
}

async function arrive(application: CrashingApplication): Promise<void> {
  await application.relay(false)
  while (await application.deliver(null));
}

async function check(
  application: CrashingApplication,
  emailOf: (who: number) => string,
  mailsTo: (
    email: string,
  ) => readonly { readonly subject: string; readonly text: string; readonly messageId: string }[],
  codesTo: (email: string) => readonly string[],
): Promise<void> {
  const rows = application.accountRows()
  const events = await application.events()
  assert.equal(new Set(rows.map(({ user_id }) => user_id)).size, rows.length)
  for (let index = 0; index < PEOPLE; index++) {
    const email = emailOf(index)
    const row = rows.find(({ address }) => address === email)
    const happened = events.filter(({ data }) => data.email === email)
    const mails = mailsTo(email)
    const count = (type: string) => happened.filter((event) => event.type === type).length
    assert.equal(count('user_account_created'), row === undefined ? 0 : 1, 'one account')
    if (row === undefined) continue
    assert.deepEqual(new Set(happened.map(({ data }) => data.userId)), new Set([row.user_id]))
    assert.equal(happened[0]?.type, 'user_account_created', 'in order')
    const isVerified = row.verified_at !== null
    assert.equal(count('user_account_verified'), isVerified ? 1 : 0)

    // A mail comes a second time only where the answer to the first was lost, and then it is the same.
    const byMessage = Map.groupBy(mails, ({ messageId }) => messageId)
    const successes = [...byMessage.values()].filter(([mail]) => codeOf(mail!.text) === null)
    assert.equal(successes.length, isVerified ? 1 : 0, 'one success mail')
    for (const same of byMessage.values()) assert.equal(new Set(same.map(({ text }) => text)).size, 1, 'the same mail')
    assert.ok(byMessage.size <= happened.length, 'one Message-ID for an event')
    const repetitions = mails.length - byMessage.size
    const unknown = happened.reduce((sum, { id }) => sum + (application.unknown.get(id) ?? 0), 0)
    assert.ok(repetitions <= unknown, `${repetitions} repetitions, ${unknown} answers were lost`)

    // Of all codes that were ever made one at most is good, and it is that of the newest mail.
    const good: string[] = []
    for (const code of application.made) if (await application.isGood(email, code)) good.push(code)
    const { expiresMs, attemptsLeft } = JSON.parse(String(row.code))
    const isOver = isVerified || attemptsLeft === 0 || expiresMs <= application.nowMs
    if (!isOver) assert.deepEqual(good, [codesTo(email).at(-1)])
    assert.ok(good.length <= 1, `good codes: ${good}`)
  }
}

function codeOf(text: string): string | null {
  return /^ {4}(\d{3}) (\d{3})$/m.exec(text)?.slice(1).join('') ?? null
}
