import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Parser } from '@asyncapi/parser'
import { parse } from 'yaml'
import { forebay, temporaryFolder } from './run-forebay.ts'

const ACCOUNTS = fileURLToPath(new URL('../../../examples/events/accounts.ts', import.meta.url))
const CONFIG = `broker: kafka://kafka:9092
kafka: { sasl: { mechanism: SCRAM-SHA-512, username: shop, password: not-for-everybody } }
queues:
  orders: { resultTopic: orders.results }
`

test('events asyncapi describes the definitions of a module and the queues of the configuration', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'forebay.yaml'), CONFIG)
  const args = ['events', 'asyncapi', '--definitions', ACCOUNTS, '--title', 'Shop']
  const { code, stdout, stderr } = await forebay(args, { cwd: folder.path })
  assert.equal(code, 0, stderr)
  const document = parse(stdout) as { channels: object; servers: object }
  assert.deepEqual(Object.keys(document.channels), ['accounts', 'forebay.tasks.orders', 'orders.results'])
  assert.deepEqual(document.servers, {
    kafka: { host: 'kafka:9092', protocol: 'kafka', security: [{ $ref: '#/components/securitySchemes/scramSha512' }] },
  })
  assert.ok(!stdout.includes('not-for-everybody'))
  const { diagnostics } = await new Parser().parse(stdout)
  assert.deepEqual(
    diagnostics.filter(({ severity }) => severity === 0),
    [],
  )
})

test('events that callers may publish at the gateway are described by their schemas, unless a module defines them', async () => {
  using folder = temporaryFolder()
  const schemas = { 1: { type: 'object', required: ['sku'] }, 2: { type: 'object', required: ['skus'] } }
  const events = { stock_counted: { topic: 'stock', schemas }, account_created: { topic: 'accounts' } }
  // JSON is YAML.
  writeFileSync(join(folder.path, 'forebay.yaml'), JSON.stringify({ events }))
  const { code, stdout, stderr } = await forebay(['events', 'asyncapi', '-d', ACCOUNTS], { cwd: folder.path })
  assert.equal(code, 0, stderr)
  const { channels } = parse(stdout) as { channels: Record<string, { messages: object }> }
  assert.equal(Object.keys(channels.stock!.messages).length, 2)
  assert.ok(stdout.includes('skus'))
  const alone = await forebay(['events', 'asyncapi'], { cwd: folder.path })
  assert.deepEqual(Object.keys(parse(alone.stdout).channels), ['accounts', 'stock'], alone.stderr)
})

test('a module may say who publishes and who reads; a file that ends in .json is JSON', async () => {
  using folder = temporaryFolder()
  const module = `export * from ${JSON.stringify(ACCOUNTS)}
import { accountCreated, accountClosed } from ${JSON.stringify(ACCOUNTS)}
export const services = { 'mail-service': { subscribes: [accountCreated, accountClosed] } }
export const servers = { laptop: { host: '127.0.0.1:9092' } }
`
  writeFileSync(join(folder.path, 'events.ts'), module)
  const args = ['events', 'asyncapi', '-d', 'events.ts', '--out', 'asyncapi.json']
  const { code, stdout, stderr } = await forebay(args, { cwd: folder.path })
  assert.deepEqual([code, stdout], [0, ''], stderr)
  const document = JSON.parse(readFileSync(join(folder.path, 'asyncapi.json'), 'utf8')) as Record<string, object>
  assert.deepEqual(Object.keys(document.operations!), ['mail-service.receive.accounts'])
  assert.deepEqual(Object.keys(document.servers!), ['laptop'])
})

test('a module that is not there or defines nothing, and nothing to describe, say so', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'empty.ts'), 'export const nothing = 1\n')
  const outcomes = await Promise.all(
    [['-d', 'nowhere.ts'], ['-d', 'empty.ts'], []].map((args) =>
      forebay(['events', 'asyncapi', ...args], { cwd: folder.path }),
    ),
  )
  assert.deepEqual(
    outcomes.map(({ code }) => code),
    [1, 1, 2],
  )
  assert.match(outcomes[0]!.stderr, /nowhere\.ts cannot be imported/)
  assert.match(outcomes[1]!.stderr, /exports no definition/)
})
