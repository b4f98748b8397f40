import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type LoadedConfig, loadConfig } from '../src/config/load-config.ts'
import { temporaryFolder } from './run-forebay.ts'

function load(text: string, variables: Record<string, string> = {}, set: readonly string[] = []): LoadedConfig {
  using folder = temporaryFolder()
  const file = join(folder.path, 'forebay.yaml')
  writeFileSync(file, text)
  return loadConfig({ config: file, set }, environment(variables))
}

function environment(variables: Record<string, string>) {
  return {
    config: undefined,
    url: undefined,
    key: undefined,
    logLevel: undefined,
    twins: new Map(Object.entries(variables)),
  }
}

function optionsOf(loaded: LoadedConfig) {
  assert.ok(loaded.ok, JSON.stringify(loaded))
  return loaded.options
}

test('a flag wins over the environment, that over the file, that over the default', () => {
  const file = 'http: { listen: 127.0.0.1:1001, waitersMax: 1 }\npartitions: 3\n'
  const variables = { FOREBAY_HTTP_LISTEN: '127.0.0.1:1002', FOREBAY_HTTP_WAITERS_MAX: '2' }
  const options = optionsOf(load(file, variables, ['http.listen=127.0.0.1:1003']))
  assert.equal(options.http.port, 1003)
  assert.equal(options.http.waitersMax, 2)
  assert.equal(options.partitions, 3)
  assert.equal(options.retentionMs, 86_400_000)
})

test('numbers, flags, lists and whole maps can be given as text', () => {
  const options = optionsOf(
    load('', {
      FOREBAY_PARTITIONS: '6',
      FOREBAY_ROLES: 'gateway, dispatcher',
      FOREBAY_BROKER: 'kafka://k:9092',
      FOREBAY_KAFKA_FSYNC: 'true',
      FOREBAY_KAFKA_TLS: 'true',
      FOREBAY_QUEUES: '{ hello: { timeout: 5s } }',
      FOREBAY_AUTH_KEYS: `[{ principal: shop, sha256: "${'ab'.repeat(32)}" }]`,
    }),
  )
  assert.equal(options.partitions, 6)
  assert.deepEqual([...options.roles], ['gateway', 'dispatcher', 'recorder'])
  assert.equal(options.broker.kind === 'kafka' && options.broker.fsync, true)
  assert.deepEqual(options.broker.kind === 'kafka' && options.broker.tls, {})
  assert.equal(options.queues.get('hello')!.timeoutMs, 5_000)
  assert.equal(options.auth.keys[0]!.principal, 'shop')
})

test('a variable reaches into a queue, under the name that the file gives it', () => {
  const options = optionsOf(
    load('queues:\n  big-orders.eu: { retry: { attempts: 2 } }\n', {
      FOREBAY_QUEUES_BIG_ORDERS_EU_RETRY_ATTEMPTS: '7',
      FOREBAY_QUEUES_OTHER_TIMEOUT: '9s',
    }),
  )
  assert.deepEqual([...options.queues.keys()], ['big-orders.eu', 'other'])
  assert.equal(options.queues.get('big-orders.eu')!.retry.attemptsMax, 7)
  assert.equal(options.queues.get('other')!.timeoutMs, 9_000)
})

test('variables reach the policies of a queue, in their short forms and in their long ones', () => {
  const options = optionsOf(
    load('queues:\n  mail: { fairness: { by: owner, weights: { shop: 2 } } }\n', {
      FOREBAY_QUEUES_MAIL_RATE: '100/s',
      FOREBAY_QUEUES_MAIL_PER_KEY_RATE: '30/m',
      FOREBAY_QUEUES_MAIL_FAIRNESS_BY: 'header.X-Tenant',
      FOREBAY_QUEUES_MAIL_BREAKER_PROBES: '7',
      FOREBAY_QUEUES_MAIL_RETRY_ON: 'WORKER_LOST, TARGET_UNAVAILABLE',
      FOREBAY_QUEUES_MAIL_RETRY_BUDGET: '0.25',
      FOREBAY_QUEUES_MAIL_IDEMPOTENCY_REQUIRED: 'true',
      FOREBAY_QUEUES_MAIL_SCHEDULE: '{ nightly: { cron: "0 3 * * *", body: { all: true } } }',
      FOREBAY_QUEUES_OTHER_FAIRNESS: 'key',
      FOREBAY_QUEUES_OTHER_BREAKER: 'off',
    }),
  )
  const mail = options.queues.get('mail')!
  assert.deepEqual(mail.rate, { count: 100, perMs: 1_000 })
  assert.deepEqual(mail.perKey.rate, { count: 30, perMs: 60_000 })
  assert.deepEqual(mail.fairness, { by: { from: 'header', header: 'x-tenant' }, weights: new Map([['shop', 2]]) })
  assert.equal(mail.breaker?.probes, 7)
  assert.deepEqual(mail.retry.on, new Set(['WORKER_LOST', 'TARGET_UNAVAILABLE']))
  assert.equal(mail.retry.budget, 0.25)
  assert.equal(mail.idempotency.required, true)
  assert.equal(Buffer.from(mail.schedule[0]!.body).toString(), '{"all":true}')
  const other = options.queues.get('other')!
  assert.deepEqual(other.fairness, { by: { from: 'key' }, weights: new Map() })
  assert.equal(other.breaker, null)
})

test('--set finds queues whose names hold dots, known or not', () => {
  const options = optionsOf(load('queues: { a.b: }\n', {}, ['queues.a.b.timeout=1s', 'queues.c.d.retry.attempts=2']))
  assert.equal(options.queues.get('a.b')!.timeoutMs, 1_000)
  assert.equal(options.queues.get('c.d')!.retry.attemptsMax, 2)
})

test('a key that --set does not know is named as typed', () => {
  const loaded = load('', {}, ['http.lisen=127.0.0.1:1'])
  assert.ok(!loaded.ok)
  assert.deepEqual(
    loaded.faults.map(({ where, path, fix }) => [where, path, fix]),
    [['--set http.lisen', 'http.lisen', 'Did you mean `listen`?']],
  )
})

test('a secret can come from a file, without its last line break', () => {
  using folder = temporaryFolder()
  const file = join(folder.path, 'password')
  writeFileSync(file, 'hunter2\n')
  const options = optionsOf(
    load('broker: kafka://k\nkafka: { sasl: { username: me } }\n', { FOREBAY_KAFKA_SASL_PASSWORD_FILE: file }),
  )
  assert.equal(options.broker.kind === 'kafka' && options.broker.sasl?.password, 'hunter2')
})

test('paths in the file start at its folder, those in variables and flags at the current one', () => {
  using folder = temporaryFolder()
  mkdirSync(join(folder.path, 'deploy'))
  const file = join(folder.path, 'deploy', 'forebay.yaml')
  writeFileSync(file, 'data: ./state\n')
  assert.equal(optionsOf(loadConfig({ config: file }, environment({}))).dataDir, join(folder.path, 'deploy', 'state'))
  const fromVariable = loadConfig({ config: file }, environment({ FOREBAY_DATA: './state' }))
  assert.equal(optionsOf(fromVariable).dataDir, join(process.cwd(), 'state'))
})

test('events have twins as queues have', () => {
  const options = optionsOf(
    load('events: { clicked: {} }\n', { FOREBAY_EVENTS_CLICKED_PARTITIONS: '3' }, ['events.clicked.retention=30d']),
  )
  assert.deepEqual(
    [...options.events.values()],
    [
      {
        name: 'clicked',
        topic: 'forebay.events.clicked',
        partitions: 3,
        retentionMs: 30 * 86_400_000,
        schemas: new Map(),
      },
    ],
  )
})
