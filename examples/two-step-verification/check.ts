import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Addresses {
  readonly users: string
  readonly mails: string
  readonly recommendations: string
}

export interface CheckReport {
  readonly passed: number
  readonly failures: readonly string[]
}

/** Checks for each person: the code's mail, the verification, the second mail, the recommendations. */
export const CHECKS_EACH = 4

/** So many people register, read their mail, enter the code, and are known to the service that came later. */
export async function checkApplication(addresses: Addresses, people: number): Promise<CheckReport> {
  const failures: string[] = []
  let passed = 0
  const expect = (condition: boolean, what: string) => {
    if (condition) passed++
    else failures.push(what)
    return condition
  }
  const run = randomBytes(4).toString('hex')
  const verified: string[] = []
  await eachOf(people, async (index) => {
    const email = `ada-${run}-${index}@example.com`
    const firstName = `Ada ${NUMERALS[index % NUMERALS.length]}`
    const traceId = randomBytes(16).toString('hex')
    const traceparent = `00-${traceId}-${randomBytes(8).toString('hex')}-01`
    const registered = await post(addresses.users, 'register', { firstName, lastName: 'Lovelace', email }, traceparent)
    const [codeMail] = registered.status === 202 ? await mailsTo(addresses.mails, email, 1) : []
    const code = /^ {4}(\d{3} \d{3})$/m.exec(codeMail?.text ?? '')?.[1] ?? ''
    const isRightMail = code !== '' && codeMail!.text.includes(firstName) && codeMail!.traceparent.includes(traceId)
    if (!expect(isRightMail, `${email}: registration ${registered.status}, mail ${JSON.stringify(codeMail)}`)) return
    const answer = await post(addresses.users, 'verify', { email, code }, traceparent)
    if (!expect(answer.status === 200, `${email}: verification ${answer.status} ${answer.text}`)) return
    const mails = await mailsTo(addresses.mails, email, 2)
    const isWelcome = mails.length === 2 && mails[1]!.subject === 'Your address is verified'
    if (expect(isWelcome, `${email}: ${mails.map(({ subject }) => subject)}`)) verified.push(email)
  })
  const readers = await readersOf(addresses.recommendations, verified.length)
  for (const [index, email] of verified.entries()) {
    expect(index < readers, `${email}: only ${readers} of ${verified.length} are known to recommendation-service`)
  }
  return { passed, failures }
}

const NUMERALS = ['One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven']
const AT_ONCE = 16
const WITHIN_MS = 60_000
const POLL_MS = 50

interface MailSeen {
  readonly subject: string
  readonly text: string
  readonly traceparent: string
}

async function post(users: string, path: string, body: object, traceparent: string) {
  const headers = { 'content-type': 'application/json', traceparent }
  const response = await fetch(`${users}/api/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, text: await response.text() }
}

/** Waits for so many, and gives what there is. */
async function mailsTo(mails: string, to: string, count: number): Promise<readonly MailSeen[]> {
  return until(
    async () => {
      const response = await fetch(`${mails}/api/mails?to=${encodeURIComponent(to)}`)
      return ((await response.json()) as { mails: readonly MailSeen[] }).mails
    },
    (found) => found.length >= count,
  )
}

async function readersOf(recommendations: string, count: number): Promise<number> {
  return until(
    async () => {
      const response = await fetch(`${recommendations}/api/recommendations`)
      return ((await response.json()) as { total: number }).total
    },
    (total) => total >= count,
  )
}

async function until<Found>(look: () => Promise<Found>, isEnough: (found: Found) => boolean): Promise<Found> {
  const byMs = performance.now() + WITHIN_MS
  for (;;) {
    const found = await look()
    if (isEnough(found) || performance.now() > byMs) return found
    await sleep(POLL_MS)
  }
}

async function eachOf(count: number, act: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < count) await act(next++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
}
