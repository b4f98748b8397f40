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
