import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { forebay, temporaryFolder } from './run-forebay.ts'

const ACCOUNTS = fileURLToPath(new URL('../../../examples/events/accounts.ts', import.meta.url))
const PAID = { type: 'object', required: ['order'], properties: { order: { type: 'string' } } }
const PAID_IN = { ...PAID, required: ['order', 'currency'] }

test('what runs, as its document, against definitions: nothing breaks until a member is asked for', async () => {
  using folder = temporaryFolder()
  const cwd = folder.path
  assert.equal((await forebay(['events', 'asyncapi', '-d', ACCOUNTS, '-o', 'asyncapi.yaml'], { cwd })).code, 0)
  const same = await forebay(['events', 'check', ACCOUNTS, '--against', 'asyncapi.yaml'], { cwd })
  assert.deepEqual([same.code, same.stderr], [0, '2 compatible.\n'], same.stdout)
  assert.match(same.stdout, /^account_created v1 {2}same$/m)

  assert.equal((await forebay(['events', 'asyncapi', '-d', ACCOUNTS, '-o', 'asyncapi.json'], { cwd })).code, 0)
  const module = `import { accountCreated, accountClosed } from ${JSON.stringify(ACCOUNTS)}
const { text, ...rest } = accountCreated.schema
const schema = JSON.parse(text)
export const changed = { ...accountCreated, schema: { ...rest, text: JSON.stringify({ ...schema, required: [...schema.required, 'phone'] }) } }
export const events = [accountClosed]
`
  writeFileSync(join(cwd, 'changed.ts'), module)
  const changed = await forebay(['events', 'check', 'asyncapi.json', 'changed.ts'], { cwd })
  assert.deepEqual([changed.code, changed.stderr], [1, '1 of 2 would break somebody.\n'])
  assert.match(changed.stdout, /^account_created v1 {2}breaks$/m)
  assert.match(changed.stdout, /^ {2}BACKWARD {2}\/phone {2}may be missing, and is required by the reader$/m)
  assert.match(changed.stdout, /^ {2}note: make it version 2, beside this one$/m)
})

test('schemas are compared alone or by folders; --json says each event', async () => {
  using folder = temporaryFolder()
  const cwd = folder.path
  for (const [name, paid] of [
    ['old', PAID],
    ['new', PAID_IN],
  ] as const) {
    mkdirSync(join(cwd, name))
    writeFileSync(join(cwd, name, 'paid.v2.json'), JSON.stringify(paid))
    writeFileSync(join(cwd, `${name}.json`), JSON.stringify(paid))
  }
  writeFileSync(join(cwd, 'new', 'sent.proto'), 'syntax = "proto3"; message Sent { string order = 1; }')
  const [folders, alone, back] = await Promise.all([
    forebay(['events', 'check', 'old', 'new', '--json'], { cwd }),
    forebay(['events', 'check', 'old.json', 'new.json'], { cwd }),
    forebay(['events', 'check', 'old.json', 'old.json'], { cwd }),
  ])
  const events = folders.stdout
    .trim()
    .split('\n')
    .map(
      (line) => JSON.parse(line) as { name: string; version: number; state: string; breaks: { direction: string }[] },
    )
  assert.deepEqual(
    events.map(({ name, version, state, breaks }) => [
      name,
      version,
      state,
      ...breaks.map(({ direction }) => direction),
    ]),
    [
      ['paid', 2, 'changed', 'BACKWARD'],
      ['sent', 1, 'added'],
    ],
  )
  assert.deepEqual([folders.code, alone.code, back.code], [1, 1, 0])
  assert.match(alone.stdout, /^new v1 {2}breaks\n {2}required: \["order"\] → \["order","currency"\]\n/)
})

test('a member that is only named now breaks, unless producers send none but named ones', async () => {
  using folder = temporaryFolder()
  const cwd = folder.path
  const properties = { ...PAID.properties, note: { type: 'string' } }
  writeFileSync(join(cwd, 'old.json'), JSON.stringify(PAID))
  writeFileSync(join(cwd, 'new.json'), JSON.stringify({ ...PAID, properties }))
  const [strict, named] = await Promise.all([
    forebay(['events', 'check', 'old.json', 'new.json'], { cwd }),
    forebay(['events', 'check', 'old.json', 'new.json', '--named-only'], { cwd }),
  ])
  assert.deepEqual([strict.code, named.code], [1, 0])
  assert.match(named.stdout, /^new v1 {2}changed, compatible\n {2}properties\.note: \+ {"type":"string"}\n/)
})

test('a wrong command line, and what cannot be read, are exit code 2', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'a.txt'), '')
  for (const args of [['a.json'], ['a.txt', 'a.txt'], ['nowhere.json', 'nowhere.json']]) {
    const { code, stderr } = await forebay(['events', 'check', ...args], { cwd: folder.path })
    assert.equal(code, 2, `${args}: ${stderr}`)
  }
})
