import { setTimeout as sleep } from 'node:timers/promises'
import type { Dice } from '../../chaos/dice.ts'
import type { CaughtMail } from '../../examples/two-step-verification/mail-catcher/caught-mails.ts'
import type { Scene } from './scene.ts'

/** Somebody who registers, reads mails and enters codes, and asks again whenever nobody answers. */
export interface Person {
  readonly email: string
  readonly firstName: string
  /** Trace ids of all that they asked for. */
  readonly traceIds: ReadonlySet<string>
  /** The mail whose code was taken; null while none was. */
  readonly verifiedBy: CaughtMail | null
  /** What they met and should not have. */
  readonly wrongs: readonly string[]
}

export const CODE_SUBJECT = 'Your code'
export const WELCOME_SUBJECT = 'Your address is verified'

/** What people do beside the plain: a second code while the first is on its way, a wrong one before the right. */
const HABITS = ['plain', 'plain', 'plain', 'plain', 'resends', 'registers twice', 'mistypes'] as const

export async function livePerson(number: number, scene: Scene, dice: Dice, withinMs: number): Promise<Person> {
  const email = `Person-${number}@example.com`
  const firstName = `Ada ${NAMES[number % NAMES.length]}`
  const traceIds = new Set<string>()
  const wrongs: string[] = []
  const tried: string[] = []
  const byMs = performance.now() + withinMs
  const habit = dice.pick(HABITS)
  let verifiedBy: CaughtMail | null = null
  try {
    await ask('register', { email, firstName, lastName: 'Lovelace' }, [202])
    if (habit === 'resends') await ask('resend', { email }, [202])
    if (habit === 'registers twice') await ask('register', { email, firstName, lastName: 'Lovelace' }, [202])
    verifiedBy = await enterCodes()
    await until(() => mailsTo(WELCOME_SUBJECT).length > 0, 'no welcome mail')
  } catch (thrown) {
    const mails = mailsTo(null).map(({ subject, text }) => `${subject} ${codeOf(text) ?? ''}`)
    const what = (thrown as Error).message
    wrongs.push(
      `${email} (${habit}): ${what}; mails: ${mails.join(', ') || 'none'}; tried: ${tried.join(', ') || 'none'}`,
    )
  }
  return { email, firstName, traceIds, verifiedBy, wrongs }

  /** The newest code, until one is right: an older one is void as soon as a newer is made. */
  async function enterCodes(): Promise<CaughtMail> {
    for (;;) {
      const fresh = () => mailsTo(CODE_SUBJECT).findLast(({ text }) => !tried.includes(codeOf(text)!))
      await until(() => fresh() !== undefined, 'no code that is right')
      const mail = fresh()!
      const code = codeOf(mail.text)!
      if (habit === 'mistypes' && tried.length === 0) {
        const wrong = String((Number(code) + 1) % 1_000_000).padStart(6, '0')
        await ask('verify', { email, code: wrong }, [422])
      }
      tried.push(code)
      if ((await ask('verify', { email, code }, [200, 422])) === 200) return mail
    }
  }

  /** Asks any of the services until one answers; anything but these answers is wrong. */
  async function ask(path: string, body: object, right: readonly number[]): Promise<number> {
    const traceId = Buffer.from(Array.from({ length: 16 }, () => 1 + dice.below(255))).toString('hex')
    traceIds.add(traceId)
    for (let last = 'nothing'; performance.now() < byMs; await sleep(ASK_PAUSE_MS)) {
      const { status, text } = await post(`${dice.pick(scene.userUrls)}/api/${path}`, body, traceId)
      if (right.includes(status)) return status
      last = `${status} ${text}`
      if (status !== 0 && status !== 503) throw new Error(`${path} was answered ${last}`)
    }
    throw new Error(`${path} was not answered in time`)
  }

  function mailsTo(subject: string | null): readonly CaughtMail[] {
    const mails = scene.catcher.mails.list({ to: email, after: 0, limit: MAILS_MAX })
    return subject === null ? mails : mails.filter((mail) => mail.subject === subject)
  }

  async function until(condition: () => boolean, otherwise: string): Promise<void> {
    while (!condition()) {
      if (performance.now() > byMs) throw new Error(`${otherwise} within ${withinMs / 1_000} s`)
      await sleep(LOOK_PAUSE_MS)
    }
  }
}

export function codeOf(text: string): string | null {
  return /^ {4}(\d{3}) (\d{3})$/m.exec(text)?.slice(1).join('') ?? null
}

const NAMES = ['One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven']
const ASK_PAUSE_MS = 200
const LOOK_PAUSE_MS = 50
const ANSWER_WITHIN_MS = 10_000
const MAILS_MAX = 100

/** Status 0: no answer came. */
async function post(url: string, body: object, traceId: string): Promise<{ status: number; text: string }> {
  const headers = { 'content-type': 'application/json', traceparent: `00-${traceId}-00f067aa0ba902b7-01` }
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS)
  try {
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal })
    return { status: response.status, text: await response.text() }
  } catch {
    return { status: 0, text: '' }
  }
}
