import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LogRecord } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { type Event, fromRecord, openEventLog } from '@forebay/events'
import { pino } from 'pino'
import { ACCOUNT_EVENTS } from '../events.ts'
import { type CatcherOptions, startCatcher } from '../mail-catcher/catcher.ts'
import { type NotificationServiceOptions, startNotificationService } from '../notification-service/service.ts'
import { startRecommendationService } from '../recommendation-service/service.ts'
import { openCode, privateSealingKey, type SealedCode } from '../sealed-code.ts'
import { startUserService, type UserServiceOptions } from '../user-service/service.ts'

/** A real embedded log of one partition, and the services in this process, as a test asks for them. */
export async function openRig() {
  await using stack = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'forebay-two-step-test-'))
  stack.defer(() => rmSync(dir, { recursive: true }))
  const groups = ['notification-service', 'recommendation-service']
  const broker = embeddedBroker({ dir: join(dir, 'log'), commitIntervalMs: 10 })
  const log = stack.use(await openEventLog({ broker, events: ACCOUNT_EVENTS, groups, partitions: 1 }))
  const lines: string[] = []
  const logger = pino({ base: null }, { write: (line) => void lines.push(line) })
  const keys = KEYS
  const held = stack.move()
  return {
    dir,
    log,
    keys,
    /** What the services logged, a JSON object each. */
    lines,
    async users(options: Partial<UserServiceOptions> = {}) {
      const service = await startUserService({
        ...{ broker: log, database: join(dir, 'users.db'), port: 0, log: logger, requestsPerMinute: 1_000_000 },
        ...{ pepper: keys.pepper, mailPublicKey: keys.publicKey },
        ...options,
      })
      return held.use({ ...service, ...callsOf(service.url) })
    },
    catcher: async (options: CatcherOptions = {}) => held.use(await startCatcher(options)),
    async notifications(smtp: string, options: Partial<NotificationServiceOptions> = {}) {
      const service = await startNotificationService({
        ...{ broker: log, database: join(dir, 'notifications.db'), smtp, log: logger },
        ...{ privateKeys: [keys.privateKey], retry: { backoffMs: 1, backoffMaxMs: 20 } },
        ...options,
      })
      return held.use(service)
    },
    async recommendations() {
      const database = join(dir, 'recommendations.db')
      return held.use(await startRecommendationService({ broker: log, database, port: 0, log: logger }))
    },
    /** The first so many records of a topic, once they are there. */
    async records(count: number, topic = 'accounts'): Promise<readonly LogRecord[]> {
      const listener = await broker.listen({ topic, partition: 0, from: 'earliest' })
      const found: LogRecord[] = []
      for await (const records of listener) {
        found.push(...records)
        if (found.length >= count) break
      }
      await listener.close()
      return found
    },
    async events(count: number): Promise<readonly Event<AccountData>[]> {
      return (await this.records(count)).map(eventOf)
    },
    /** The code that an event carries. */
    open: ({ data }: Event<AccountData>) => openCode(data.code, data.userId, [privateSealingKey(keys.privateKey)]),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

export interface AccountData {
  readonly userId: string
  readonly email: string
  readonly firstName: string
  readonly code: SealedCode & { readonly expiresAt: string }
}

export function eventOf(record: LogRecord): Event<AccountData> {
  const event = fromRecord(record)
  if (typeof event === 'string') throw new Error(event)
  return { ...event, data: JSON.parse(Buffer.from(event.bytes).toString()) }
}

export function newKeys() {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2_048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  return { publicKey, privateKey, pepper: randomBytes(32) }
}

export const ADA = { firstName: 'Ada', lastName: 'Lovelace', email: 'ada@example.com' }

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly body: { readonly title?: string; readonly errors?: readonly { readonly field: string }[] }
}

/** Calls of the API as its page makes them. */
export function callsOf(url: string) {
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
    const response = await fetch(`${url}/api/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, body: JSON.parse(text) }
  }
  return {
    post,
    register: (person: unknown, headers = {}) => post('register', person, headers),
    verify: (email: string, code: string) => post('verify', { email, code }),
    resend: (email: string) => post('resend', { email }),
  }
}

/** Resolves when `condition` holds; asks again whenever the loop turns. */
export async function until(condition: () => unknown, patienceMs = 30_000): Promise<void> {
  const giveUpAtMs = performance.now() + patienceMs
  while (!(await condition())) {
    if (performance.now() > giveUpAtMs) throw new Error(`Not in time: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Made once: a pair of keys takes its time. */
const KEYS = newKeys()
