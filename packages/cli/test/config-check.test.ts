import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { forebay, temporaryFolder } from './run-forebay.ts'

const BROKEN = `http:
  listn: 127.0.0.1:8080
queues:
  orders:
    target: ftp://somewhere
    retry:
      attempts: 500
  Bad Name:
`

test('every fault of a file comes at once, each with line, column, path and what to write', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'forebay.yaml'), BROKEN)
  const { code, stdout, stderr } = await forebay(['config', 'check', '--json'], { cwd: folder.path })
  assert.equal(code, 4)
  assert.equal(stderr, '')
  const faults = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(
    faults.map(({ where, path }) => `${where} ${path}`),
    [
      'forebay.yaml:2:3 http.listn',
      'forebay.yaml:5:13 queues.orders.target',
      'forebay.yaml:7:17 queues.orders.retry.attempts',
      'forebay.yaml:8:3 queues.Bad Name',
    ],
  )
  assert.match(String(faults[0]!.fix), /`listen`/)
})

test('for people the same comes as blocks on stderr, without colour where nobody looks', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'forebay.yaml'), BROKEN)
  const { code, stdout, stderr } = await forebay(['config', 'check'], { cwd: folder.path })
  assert.equal(code, 4)
  assert.equal(stdout, '')
  assert.match(
    stderr,
    /error CONFIG_INVALID {2}There is no key "listn" here\.\n {2}where {2}forebay\.yaml:2:3 {2}http\.listn\n/,
  )
  assert.match(stderr, /4 faults/)
  assert.ok(!stderr.includes('\u001b['))
})

test('a variable that is at fault is named instead of a line', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'forebay.yaml'), 'grpc: { lease: 10s }\n')
  const env = { FOREBAY_GRPC_LEASE: 'soon', FOREBAY_HTTP_LISTN: 'x' }
  const { code, stderr } = await forebay(['config', 'check'], { cwd: folder.path, env })
  assert.equal(code, 4)
  assert.match(stderr, /where {2}FOREBAY_GRPC_LEASE {2}grpc\.lease/)
  assert.match(stderr, /warning {2}FOREBAY_HTTP_LISTN .* FOREBAY_HTTP_LISTEN\?/)
})

test('syntax errors and keys that stand twice have their place', async () => {
  for (const [text, place] of [
    ['queues:\n  a: 1\n  a: 2\n', 'forebay.yaml:3:3'],
    ['http: [1, 2\nqueues:\n', 'forebay.yaml:2:'],
    ['a: &x [*x, *x]\n---\nb: 1\n', 'forebay.yaml:2:'],
  ] as const) {
    using folder = temporaryFolder()
    writeFileSync(join(folder.path, 'forebay.yaml'), text)
    const { code, stderr } = await forebay(['config', 'check'], { cwd: folder.path })
    assert.equal(code, 4, text)
    assert.ok(stderr.includes(place), stderr)
  }
})

test('a file that is right says what it is, also by the line for programs', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'other.yaml'), 'queues: { hello: }\n')
  const people = await forebay(['config', 'check', 'other.yaml'], { cwd: folder.path })
  assert.deepEqual([people.code, people.stdout], [0, 'other.yaml ok: broker embedded, 1 queues: hello\n'])
  const programs = await forebay(['config', 'check', 'other.yaml', '--json'], { cwd: folder.path })
  assert.deepEqual(JSON.parse(programs.stdout), { ok: true, file: 'other.yaml', broker: 'embedded', queues: ['hello'] })
})

test('a file that is named and not there is a fault, one that nobody named is not', async () => {
  using folder = temporaryFolder()
  const missing = await forebay(['config', 'check', 'nowhere.yaml'], { cwd: folder.path })
  assert.equal(missing.code, 4)
  assert.match(missing.stderr, /nowhere\.yaml is not there/)
  assert.equal((await forebay(['config', 'check'], { cwd: folder.path })).code, 0)
})
