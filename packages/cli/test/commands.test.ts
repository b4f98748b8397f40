import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { forebay, temporaryFolder } from './run-forebay.ts'

test('what init writes is right, is explained to editors, and is never overwritten', async () => {
  using folder = temporaryFolder()
  const first = await forebay(['init'], { cwd: folder.path })
  assert.equal(first.code, 0, first.stderr)
  const file = join(folder.path, 'forebay.yaml')
  const written = readFileSync(file, 'utf8')
  assert.match(written, /^# yaml-language-server: \$schema=forebay\.schema\.json\n/)
  JSON.parse(readFileSync(join(folder.path, 'forebay.schema.json'), 'utf8'))
  assert.equal((await forebay(['config', 'check'], { cwd: folder.path })).code, 0)

  writeFileSync(file, 'mine: 1\n')
  const second = await forebay(['init'], { cwd: folder.path })
  assert.equal(second.code, 1)
  assert.equal(readFileSync(file, 'utf8'), 'mine: 1\n')
})

test('the commented examples of init are right too', async () => {
  using folder = temporaryFolder()
  await forebay(['init'], { cwd: folder.path })
  const file = join(folder.path, 'forebay.yaml')
  const examples = readFileSync(file, 'utf8').replace(/^( *)# (?=( *(orders|legacy|route|key|order|target):))/gm, '$1')
  writeFileSync(file, examples)
  assert.deepEqual(Object.keys((parse(examples) as { queues: object }).queues), ['hello', 'orders', 'legacy'])
  const { code, stderr } = await forebay(['config', 'check'], { cwd: folder.path })
  assert.equal(code, 0, stderr)
})

test('config schema prints the schema that is published', async () => {
  const { code, stdout } = await forebay(['config', 'schema'])
  assert.equal(code, 0)
  const published = readFileSync(new URL('../../server/forebay.schema.json', import.meta.url), 'utf8')
  assert.equal(stdout, published)
})

test('a new key is printed once with the digest that lets it in', async () => {
  const { code, stdout } = await forebay(['keys', 'new', 'shop', '--json'])
  assert.equal(code, 0)
  const { principal, key, sha256 } = JSON.parse(stdout) as Record<string, string>
  assert.equal(principal, 'shop')
  assert.equal(createHash('sha256').update(key!).digest('hex'), sha256)
  const people = await forebay(['keys', 'new', 'shop'])
  assert.match(people.stdout, /^fbk_[\w-]{43}\n$/)
  const lines = parse(people.stderr.slice(people.stderr.indexOf('auth:'))) as { auth: { keys: { sha256: string }[] } }
  assert.equal(lines.auth.keys[0]!.sha256, createHash('sha256').update(people.stdout.trim()).digest('hex'))
})

test('a wrong command line is exit code 2, with the nearest right word', async () => {
  const misspelt = await forebay(['sumbit'])
  assert.equal(misspelt.code, 2)
  assert.match(misspelt.stderr, /submit/)
  for (const args of [
    ['submit', 'hello'],
    ['submit', 'hello', '1', '--file', 'x'],
    ['submit', 'hello', '1', '--wait', 'soon'],
    ['submit', 'hello', '1', '--url', 'nowhere'],
    ['submit', 'hello', '1', '--delay', 'later'],
    ['submit', 'hello', '1', '--not-before', '2026-02-30T00:00:00Z'],
    ['submit', 'hello', '1', '--not-before', '2026-05-01'],
    ['submit', 'hello', '1', '--priority', '10'],
    ['cancel'],
    ['parked', 'list', '--limit', '0'],
    ['parked', 'list', '--url', 'nowhere'],
    ['parked', 'retry', 'hello'],
    ['parked', 'edit', 'hello', 'id'],
    ['parked', 'edit', 'hello', 'id', '{}', '--file', 'x'],
    ['get'],
    ['up', '--bogus'],
    ['up', '--log-level', 'loud'],
    ['keys', 'new', 'log'],
  ]) {
    const { code, stdout } = await forebay(args)
    assert.deepEqual([args.join(' '), code, stdout], [args.join(' '), 2, ''])
  }
})

test('no gateway is exit code 5, and says how to start one', async () => {
  const { code, stderr } = await forebay(['get', 'some-id', '--url', 'http://127.0.0.1:1'])
  assert.equal(code, 5)
  assert.match(stderr, /forebay up/)
})

test('every command has help with examples, on stdout', async () => {
  for (const command of [
    [],
    ['up'],
    ['submit'],
    ['get'],
    ['cancel'],
    ['parked', 'list'],
    ['parked', 'show'],
    ['parked', 'retry'],
    ['parked', 'release'],
    ['parked', 'skip'],
    ['parked', 'edit'],
    ['queues'],
    ['config', 'check'],
    ['config', 'schema'],
    ['init'],
    ['keys', 'new'],
  ]) {
    const { code, stdout } = await forebay([...command, '--help'])
    assert.equal(code, 0, command.join(' '))
    assert.match(stdout, /Examples?:\n/, command.join(' '))
  }
})

test('docs/cli.md knows the exit codes that the program has', async () => {
  const { EXIT } = await import('../src/exit-codes.ts')
  const page = readFileSync(new URL('../../../docs/cli.md', import.meta.url), 'utf8')
  const documented = [...page.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code))
  assert.deepEqual(documented, Object.values(EXIT))
})
