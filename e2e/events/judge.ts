import { createHash } from 'node:crypto'
import { kafkaBroker } from '@forebay/broker/kafka'
import { fromRecord } from '@forebay/protocol/cloudevents'
import pg from 'pg'
import { userAccountCreated, userAccountVerified } from '../../examples/two-step-verification/events.ts'
import type { CaughtMail } from '../../examples/two-step-verification/mail-catcher/caught-mails.ts'
import { CODE_SUBJECT, codeOf, type Person, WELCOME_SUBJECT } from './person.ts'
import type { Scene } from './scene.ts'

export interface Verdict {
  /** One sentence each, with what was seen. */
  readonly wrongs: readonly string[]
  /** Mails that came again since nobody could know that they had come. */
  readonly repeatedMails: number
  /** Ids of users who are verified. */
  readonly verified: ReadonlySet<string>
}

/** Compares what everybody says at the end: people, database, log and mailbox. */
export async function judge(people: readonly Person[], scene: Scene): Promise<Verdict> {
  const wrongs = people.flatMap((person) => person.wrongs)
  for (const service of scene.services) wrongs.push(...service.endedByItself)
  const accounts = await readAccounts(scene.usersDatabase)
  const events = Map.groupBy(await readEvents(scene.kafka.bootstrap), ({ userId }) => userId)
  if (accounts.length !== people.length) wrongs.push(`${accounts.length} accounts for ${people.length} addresses`)
  const writings = await readWritings(scene.notificationsDatabase)
  let repeatedMails = 0
  for (const person of people) {
    const mails = scene.catcher.mails.list({ to: person.email, after: 0, limit: 1_000 })
    const own = accounts.filter(({ address }) => address === person.email.toLowerCase())
    const { userId = '' } = own[0] ?? {}
    const faults = [
      ...accountFaults(person, own),
      ...eventFaults(events.get(userId) ?? []),
      ...mailFaults(person, mails, events.get(userId) ?? [], writings, scene),
    ]
    wrongs.push(...faults.map((fault) => `${person.email}: ${fault}`))
    repeatedMails += mails.length - new Set(mails.map(({ messageId }) => messageId)).size
  }
  const verified = new Set(accounts.filter(({ isVerified }) => isVerified).map(({ userId }) => userId))
  return { wrongs, repeatedMails, verified }
}

interface AccountRow {
  readonly userId: string
  readonly address: string
  readonly firstName: string
  readonly isVerified: boolean
}

function accountFaults({ firstName }: Person, own: readonly AccountRow[]): string[] {
  if (own.length !== 1) return [`${own.length} accounts`]
  const [account] = own
  return [
    ...(account!.isVerified ? [] : ['its account is not verified']),
    ...(account!.firstName === firstName ? [] : [`its account is ${account!.firstName}'s, not ${firstName}'s`]),
  ]
}

/** In the order of the log; what a relay wrote twice counts once. */
function eventFaults(events: readonly AccountEvent[]): string[] {
  const types = events.map(({ type }) => type)
  const of = (type: string) => types.filter((one) => one === type).length
  const { name: created } = userAccountCreated
  const { name: verified } = userAccountVerified
  const isRight = types[0] === created && types.at(-1) === verified && of(created) === 1 && of(verified) === 1
  return isRight ? [] : [`the log tells ${types.join(', ') || 'nothing'}`]
}

function mailFaults(
  person: Person,
  mails: readonly CaughtMail[],
  events: readonly AccountEvent[],
  writings: ReadonlyMap<string, readonly number[]>,
  scene: Scene,
): string[] {
  const faults: string[] = []
  const mailsOf = Map.groupBy(mails, ({ messageId }) => messageId)
  const names = new Map(events.map((event) => [messageIdOf(event), event]))
  for (const [messageId, copies] of mailsOf) {
    const event = names.get(messageId)
    const [first, ...others] = copies as [CaughtMail, ...CaughtMail[]]
    if (event === undefined) faults.push(`a mail (${first.subject}) of no event: ${messageId}`)
    else if (first.subject !== subjectOf(event)) faults.push(`${event.type} was told as ${first.subject}`)
    if (!person.traceIds.has(first.traceparent.split('-')[1] ?? '')) faults.push(`${messageId} has a strange trace`)
    if (!first.text.includes(person.firstName)) faults.push(`${messageId} is not to ${person.firstName}`)
    if (others.some(({ text, html }) => text !== first.text || html !== first.html)) {
      faults.push(`${messageId} has copies that differ: ${copies.map(({ text }) => codeOf(text)).join(', ')}`)
    }
    const [writtenAtMs = Number.POSITIVE_INFINITY, ...more] = writings.get(messageId) ?? []
    if (more.length > 0) faults.push(`${messageId} was written down as sent ${1 + more.length} times`)
    for (const { receivedAt } of copies) {
      if (Date.parse(receivedAt) <= writtenAtMs) continue
      faults.push(`${messageId} was sent again at ${receivedAt}, after it was written down as sent`)
    }
    for (const copy of copies.slice(0, -1)) {
      if (copy.isAnswered && !wasKilledAt(Date.parse(copy.receivedAt), scene)) {
        faults.push(`${messageId} was sent again although SMTP had taken it at ${copy.receivedAt}`)
      }
    }
  }
  for (const event of events) {
    if (!mailsOf.has(messageIdOf(event))) faults.push(`no mail tells of ${event.type} (${event.id})`)
  }
  const welcomes = new Set(mails.filter(({ subject }) => subject === WELCOME_SUBJECT).map(({ messageId }) => messageId))
  if (welcomes.size !== 1) faults.push(`${welcomes.size} different welcome mails`)
  const lastCode = events.findLast(({ type }) => type !== userAccountVerified.name)
  if (person.verifiedBy !== null && lastCode !== undefined && person.verifiedBy.messageId !== messageIdOf(lastCode)) {
    faults.push(`the code of ${person.verifiedBy.messageId} was taken, and ${messageIdOf(lastCode)} had a newer one`)
  }
  if (!scene.refused.has(person.email)) faults.push(...orderFaults([...mailsOf.keys()], [...names.keys()]))
  return faults
}

/** First copies come in the order of the log; only dead letters that are redriven come later. */
function orderFaults(mailed: readonly string[], told: readonly string[]): string[] {
  const order = mailed.map((messageId) => told.indexOf(messageId))
  return order.every((place, index) => index === 0 || place > order[index - 1]!)
    ? []
    : [`mails came as ${order.join()}`]
}

/** Whoever sent it may have died before it had written down that it was sent, or while its last bytes were on their way. */
function wasKilledAt(receivedMs: number, { services }: Scene): boolean {
  const kills = services.filter(({ name }) => name === 'notification-service').flatMap(({ killedAtMs }) => killedAtMs)
  return kills.some((killedMs) => Math.abs(killedMs - receivedMs) < WRITTEN_DOWN_WITHIN_MS)
}
const WRITTEN_DOWN_WITHIN_MS = 3_000

function subjectOf({ type }: AccountEvent): string {
  return type === userAccountVerified.name ? WELCOME_SUBJECT : CODE_SUBJECT
}

/** As notification-service has it: the same for the same event, whoever sends it. */
function messageIdOf({ source, id }: AccountEvent): string {
  return `<${createHash('sha256').update(`${source}\n${id}`).digest('hex').slice(0, 32)}@two-step.example>`
}

/** What lies on its way: in the outbox, and in each partition before the group. */
export async function standingOf({ kafka, usersDatabase }: Scene): Promise<string> {
  const client = new pg.Client({ connectionString: usersDatabase })
  await client.connect()
  const { rows } = await client.query<{ count: string }>('SELECT count(*) AS count FROM forebay_outbox')
  await client.end()
  const { topic } = userAccountCreated
  const broker = kafkaBroker({ bootstrap: [kafka.bootstrap] })
  await broker.open({ topics: [] })
  const states = await broker.inspect({ topics: [topic], group: `notification-service.${topic}` })
  await broker.close()
  const lags = states.map(({ partition, end, committed }) => `${partition}: ${end - (committed ?? 0)}`)
  return `at the end ${rows[0]!.count} events are in the outbox; notification-service is behind, by partition, ${lags.join(', ')}`
}

async function readAccounts(database: string): Promise<readonly AccountRow[]> {
  const client = new pg.Client({ connectionString: database })
  await client.connect()
  const { rows } = await client.query<AccountRow>(
    'SELECT user_id AS "userId", address, first_name AS "firstName", verified_ms IS NOT NULL AS "isVerified" FROM accounts',
  )
  await client.end()
  return rows
}

/** When each mail was written down as sent, by message id; wall ms. */
async function readWritings(database: string): Promise<ReadonlyMap<string, readonly number[]>> {
  const client = new pg.Client({ connectionString: database })
  await client.connect()
  const { rows } = await client.query<{ id: string; atMs: number }>(
    'SELECT message_id AS id, (extract(epoch FROM at) * 1000)::float8 AS "atMs" FROM mails_sent ORDER BY at',
  )
  await client.end()
  const writings = Map.groupBy(rows, ({ id }) => id)
  return new Map([...writings].map(([id, written]) => [id, written.map(({ atMs }) => atMs)]))
}

interface AccountEvent {
  readonly source: string
  readonly id: string
  readonly type: string
  readonly userId: string
}

/** All of the topic, each once. */
async function readEvents(bootstrap: string): Promise<readonly AccountEvent[]> {
  const { topic } = userAccountCreated
  const broker = kafkaBroker({ bootstrap: [bootstrap] })
  await broker.open({ topics: [] })
  const found = new Map<string, AccountEvent>()
  for (const { partition, end } of await broker.inspect({ topics: [topic] })) {
    if (end === 0) continue
    const listener = await broker.listen({ topic, partition, from: 'earliest' })
    for await (const records of listener) {
      for (const record of records) {
        const event = fromRecord(record)
        if (typeof event === 'string') throw new Error(`${topic} has what is no event: ${event}`)
        const { id, source, type, key } = event
        if (!found.has(id)) found.set(id, { source, id, type, userId: key ?? '' })
      }
      if (records.at(-1)!.offset === end - 1) break
    }
    await listener.close()
  }
  await broker.close()
  return [...found.values()]
}
