import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { Dice } from '../../chaos/dice.ts'
import { startService } from '../../examples/two-step-verification/application.ts'
import {
  type Catcher,
  startCatcher,
  type Treatment,
} from '../../examples/two-step-verification/mail-catcher/catcher.ts'
import { type Kafka, startKafka } from '../../scripts/rig/kafka.ts'
import { startPostgres } from '../../scripts/rig/postgres.ts'
import { freePort } from '../../scripts/rig/process.ts'
import { type Supervised, supervise } from './supervised.ts'

/** The application of examples/two-step-verification as a team would run it: two of each service, on Kafka and PostgreSQL. */
export interface Scene extends AsyncDisposable {
  readonly kafka: Kafka
  readonly catcher: Catcher
  /** Of each user-service. */
  readonly userUrls: readonly string[]
  readonly usersDatabase: string
  readonly notificationsDatabase: string
  readonly services: readonly Supervised[]
  /** Addresses that had a mail refused: 5xx. */
  readonly refused: ReadonlySet<string>
  /** Shares of what SMTP does to mails, from now on: none fails any more. */
  endFailures(): void
  startRecommendations(): Promise<string>
}

/** Together 20 %. */
const LATER_SHARE = 0.1
const DROP_SHARE = 0.07
const REFUSE_SHARE = 0.03
const COPIES = 2
/** All people of a run come from one address. */
const REQUESTS_PER_MINUTE = 1_000_000

export async function startScene(dice: Dice): Promise<Scene> {
  await using started = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'forebay-two-step-'))
  started.defer(() => rmSync(dir, { recursive: true, force: true }))
  const refused = new Set<string>()
  let isFailing = true
  const treat = (to: string): Treatment => {
    if (!isFailing) return 'accept'
    const drawn = dice.below(1_000) / 1_000
    if (drawn < LATER_SHARE) return 'later'
    if (drawn < LATER_SHARE + DROP_SHARE) return 'drop'
    if (drawn >= LATER_SHARE + DROP_SHARE + REFUSE_SHARE) return 'accept'
    refused.add(to)
    return 'refuse'
  }
  const [kafka, postgres, catcher] = await Promise.all([startKafka(), startPostgres(), startCatcher({ treat })])
  for (const one of [kafka, postgres, catcher]) started.use(one)
  const [users, notifications] = await makeDatabases(postgres.url, ['users', 'notifications'])
  const application = {
    broker: `kafka://${kafka.bootstrap}`,
    dir,
    databases: { users: users!, notifications: notifications! },
    smtp: catcher.smtp,
    requestsPerMinute: REQUESTS_PER_MINUTE,
  }
  const services: Supervised[] = []
  const userUrls: string[] = []
  const add = async (name: 'user-service' | 'notification-service', userPort: number) => {
    services.push(started.use(await supervise(name, () => startService(name, { ...application, userPort }))))
  }
  for (let copy = 0; copy < COPIES; copy++) {
    const port = await freePort()
    userUrls.push(`http://127.0.0.1:${port}`)
    await Promise.all([add('user-service', port), add('notification-service', 0)])
  }
  await keepHistory(notifications!)
  const keep = started.move()
  return {
    kafka,
    catcher,
    userUrls,
    usersDatabase: users!,
    notificationsDatabase: notifications!,
    services,
    refused,
    endFailures() {
      isFailing = false
    },
    async startRecommendations() {
      const { rig, url } = await startService('recommendation-service', application)
      keep.use(rig)
      return url
    },
    [Symbol.asyncDispose]: () => keep.disposeAsync(),
  }
}

/** notification-service keeps how a mail stands; a trigger of ours keeps each time that one was written down as sent. */
async function keepHistory(database: string): Promise<void> {
  const client = new pg.Client({ connectionString: database })
  await client.connect()
  await client.query(`CREATE TABLE mails_sent (message_id text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION note_sent() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN INSERT INTO mails_sent (message_id) VALUES (NEW.message_id); RETURN NEW; END $$;
CREATE TRIGGER note_sent AFTER UPDATE ON mails FOR EACH ROW WHEN (NEW.state = 'sent') EXECUTE FUNCTION note_sent()`)
  await client.end()
}

/** Each service has its own. */
async function makeDatabases(url: string, names: readonly string[]): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  for (const name of names) await client.query(`CREATE DATABASE ${name}`)
  await client.end()
  return names.map((name) => new URL(`/${name}`, url).href)
}
