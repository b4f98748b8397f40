import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { kafkaBroker } from '@forebay/broker/kafka'
import type pg from 'pg'
import { useKafka } from '../../../scripts/rig/kafka.ts'
import { type Postgres, startPostgres } from '../../../scripts/rig/postgres.ts'
import { openPostgresOutbox } from './outbox-rig.ts'
import { idOf } from './read-records.ts'
import { countedOn } from './some-events.ts'

const isLong = process.env.E2E_LONG === '1'
const TRANSACTIONS = isLong ? 50_000 : 2_000
const WRITERS = 8
const COUNTERS = 40
const KILL_WITHIN_MS = 1_000
const KILLS_MIN = 5

let kafka: Awaited<ReturnType<typeof useKafka>>
let server: Postgres
before(async () => {
  ;[kafka, server] = await Promise.all([useKafka(), startPostgres()])
})
after(async () => {
  await server[Symbol.asyncDispose]()
  await kafka[Symbol.asyncDispose]()
})

test('8 writers with rollbacks, relays killed every second: the log has what was committed, each key in order', async (context) => {
  await using place = await openCounters()
  const stopped = new AbortController()
  let kills = 0
  const killing = killEverySecond(place.start, stopped.signal, () => kills++)
  const committed: string[] = []
  let begun = 0
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      const client = await place.pool.connect()
      while (begun++ < TRANSACTIONS || kills < KILLS_MIN)
        committed.push(...(await count(client, place.outbox, place.event)))
      client.release()
    }),
  )
  await place.untilEmpty()
  stopped.abort()
  await killing
  const records = await readAll(place.event.topic)
  check(records, committed)
  context.diagnostic(
    `${begun} transactions, ${committed.length} events, ${kills} kills, ${records.length - committed.length} repetitions`,
  )
})

test('a relay that dies between the log and the database: the next one publishes again, with the same ids', async (context: TestContext) => {
  await using place = await openCounters()
  const client = await place.pool.connect()
  const committed: string[] = []
  while (committed.length < 150) committed.push(...(await count(client, place.outbox, place.event)))
  client.release()
  for (let deaths = 0; deaths < 2; deaths++) {
    const [, signal] = await once(place.start('dies-before-settling'), 'exit')
    assert.equal(signal, 'SIGKILL')
  }
  const last = place.start('lives')
  await place.untilEmpty()
  await kill(last)
  const records = await readAll(place.event.topic)
  check(records, committed)
  context.diagnostic(`${records.length - committed.length} repetitions of ${committed.length} events`)
  assert.ok(records.length >= committed.length + 2)
})

type Place = Awaited<ReturnType<typeof openCounters>>

async function openCounters() {
  const opened = await openPostgresOutbox(server.url, { source: '/counters' })
  const { pool, table } = opened
  await pool.query('CREATE TABLE IF NOT EXISTS counters (name text PRIMARY KEY, value integer NOT NULL)')
  await pool.query('TRUNCATE counters')
  await pool.query(`INSERT INTO counters SELECT 'c' || n, 0 FROM generate_series(1, ${COUNTERS}) AS n`)
  await pool.query('CREATE TABLE IF NOT EXISTS notes (at timestamptz)')
  const event = countedOn(`counted-${randomUUID()}`)
  const children: ChildProcess[] = []
  return {
    ...opened,
    event,
    start(how: 'lives' | 'dies-before-settling'): ChildProcess {
      const args = [server.url, table, kafka.bootstrap, event.topic, how]
      const child = spawn(process.execPath, [join(import.meta.dirname, 'crashing-relay.ts'), ...args], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      children.push(child)
      return child
    },
    async untilEmpty(): Promise<void> {
      while ((await pool.query(`SELECT FROM ${table} LIMIT 1`)).rowCount !== 0) await sleep(20)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(children.map(kill))
      await opened[Symbol.asyncDispose]()
    },
  }
}

/** Two stand by; whoever is at work dies within a second, and another begins. */
async function killEverySecond(start: Place['start'], signal: AbortSignal, onKill: () => void): Promise<void> {
  const relays = [start('lives'), start('lives'), start('lives')].map(atWork)
  while (!signal.aborted) {
    const { child } = await Promise.race(relays.map(({ working }) => working))
    await sleep(Math.random() * KILL_WITHIN_MS)
    relays.splice(
      relays.findIndex((one) => one.child === child),
      1,
    )
    await kill(child)
    onKill()
    relays.push(atWork(start('lives')))
  }
  await Promise.all(relays.map(({ child }) => kill(child)))
}

/** `working` resolves when it has the lease; one that ends by itself fails the test. */
function atWork(child: ChildProcess) {
  const ended = new Promise<never>((_, reject) => {
    child.once('exit', (code) => code !== null && reject(new Error(`A relay ended with ${code}.`)))
  })
  return { child, working: Promise.race([ended, once(child.stdout!, 'data')]).then(() => ({ child })) }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

/** A transaction that counts one or two counters; the ids of its events if it was committed. */
async function count(client: pg.PoolClient, outbox: Place['outbox'], event: Place['event']): Promise<string[]> {
  await client.query('BEGIN')
  // So that it has its transaction id long before its locks.
  if (Math.random() < 0.3) await client.query('INSERT INTO notes VALUES (now())')
  const ids: string[] = []
  for (const counter of someCounters()) {
    const { rows } = await client.query('UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value', [
      counter,
    ])
    ids.push(await outbox.publish(client, event, { data: { counter, value: rows[0].value } }))
    if (Math.random() < 0.2) await sleep(Math.random() * 10)
  }
  if (!isLong) await sleep(Math.random() * 20)
  const isCommitted = Math.random() < 0.8
  await client.query(isCommitted ? 'COMMIT' : 'ROLLBACK')
  return isCommitted ? ids : []
}

/** In one order, so that no two transactions wait for each other. */
function someCounters(): string[] {
  const one = () => 1 + Math.floor(Math.random() * COUNTERS)
  const numbers = new Set(Math.random() < 0.3 ? [one(), one()] : [one()])
  return [...numbers].sort((a, b) => a - b).map((number) => `c${number}`)
}

interface Counted {
  readonly id: string
  readonly counter: string
  readonly value: number
}

async function readAll(topic: string): Promise<Counted[]> {
  const broker = kafkaBroker({ bootstrap: [kafka.bootstrap] })
  await broker.open({ topics: [] })
  const found: Counted[] = []
  for (const { partition, end } of await broker.inspect({ topics: [topic] })) {
    if (end === 0) continue
    const listener = await broker.listen({ topic, partition, from: 'earliest' })
    for await (const records of listener) {
      for (const record of records) found.push({ id: idOf(record), ...JSON.parse(String(record.value)) })
      if (records.at(-1)!.offset === end - 1) break
    }
    await listener.close()
  }
  await broker.close()
  return found
}

function check(records: readonly Counted[], committed: readonly string[]): void {
  const firsts = [...new Map(records.toReversed().map((one) => [one.id, one])).values()]
  assert.deepEqual(firsts.map(({ id }) => id).sort(), committed.toSorted())
  const seen = new Map<string, number>()
  const ids = new Set<string>()
  for (const { id, counter, value } of records) {
    if (ids.has(id)) continue
    ids.add(id)
    assert.equal(value, (seen.get(counter) ?? 0) + 1, `${counter} came out of order`)
    seen.set(counter, value)
  }
}
