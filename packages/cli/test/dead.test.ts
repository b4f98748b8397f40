import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type DeadServerRig, OPERATOR_KEY, openDeadServer } from '../../server/test/support/dead-server.ts'
import { forebay, temporaryFolder } from './run-forebay.ts'

test('from the list to the redrive, and what the audit says of it', async () => {
  await using rig = await openDeadServer()
  const id = await deadTask(rig, 'parcel\n\u001b[31mred')
  const list = await dead(rig, 'list', '--queue', 'orders', '--since', '1h')
  assert.equal(list.code, 0)
  assert.match(list.stdout, /^LETTER +TASK +KEY +CODE/)
  const letter = /^orders\/\d+\/\d+/m.exec(list.stdout)![0]
  assert.ok(list.stdout.includes(id) && list.stdout.includes('TARGET_UNAVAILABLE'))

  const shown = await dead(rig, 'show', letter)
  assert.match(shown.stdout, /^why +TARGET_UNAVAILABLE: The target answered 503/m)
  assert.match(shown.stdout, /^attempt 1 +\d{4}-.* to \d{4}-.*: TARGET_UNAVAILABLE/m)
  assert.ok(shown.stdout.includes('?[31mred'), 'what callers wrote does not colour the terminal')
  assert.equal((await dead(rig, 'show', letter, '--body')).stdout, 'parcel\n\u001b[31mred')
  const histogram = await dead(rig, 'histogram', '--json')
  const [hour] = jsonLines(histogram.stdout)
  assert.deepEqual(hour!.codes, { TARGET_UNAVAILABLE: 1 })

  const asked = await dead(rig, 'redrive', '--queue', 'orders', '--code', 'TARGET_UNAVAILABLE')
  assert.equal(asked.code, 2, 'without --yes nothing is done')
  assert.match(asked.stdout, /orders +TARGET_UNAVAILABLE +1/)
  assert.match(asked.stderr, /Would redrive 1 letters, from .*\nNothing was done: add --yes/)
  const dry = await dead(rig, 'redrive', '--all', '--dry-run', '--json')
  assert.equal(dry.code, 0)
  assert.equal((jsonLines(dry.stdout)[0] as { count: number }).count, 1)

  rig.answer = () => ({ status: 200, body: 'ok' })
  const done = await dead(rig, 'redrive', letter, '--rate', '20', '--yes', '--reason', 'target is back')
  assert.deepEqual([done.code, done.stdout], [0, '1 redriven\n'])
  await rig.until(id, 'succeeded')
  const audit = await dead(rig, 'audit', '--json')
  const [entry] = jsonLines(audit.stdout)
  assert.deepEqual(
    [entry!.letter, entry!.verdict, entry!.task, entry!.reason],
    [letter, 'redriven', id, 'target is back'],
  )
  assert.match((await dead(rig, 'audit')).stdout, /redriven +orders/)
  const after = await dead(rig, 'list')
  assert.deepEqual([after.code, after.stdout, after.stderr], [0, '', 'No dead letters.\n'])
})

test('one letter is redriven with another body, others are discarded', async () => {
  await using rig = await openDeadServer()
  using folder = temporaryFolder()
  const id = await deadTask(rig, '{"address":"bad"}')
  const [first] = jsonLines((await dead(rig, 'list', '--json')).stdout)
  await deadTask(rig, 'hopeless')
  rig.answer = (body) => (body.includes('good') ? { status: 200, body: 'ok' } : { status: 503, body: 'no' })
  const file = join(folder.path, 'body.json')
  writeFileSync(file, '{"address":"good"}')
  const asked = await dead(rig, 'redrive', String(first!.letter), '--edit', file)
  assert.equal(asked.code, 2)
  const edited = await dead(rig, 'redrive', String(first!.letter), '--edit', file, '--yes')
  assert.deepEqual([edited.code, edited.stdout], [0, '1 redriven\n'])
  await rig.until(id, 'succeeded')
  const again = await dead(rig, 'redrive', String(first!.letter), '--edit', file, '--yes')
  assert.equal(again.code, 3)
  assert.match(again.stderr, /DEAD_LETTER_NOT_FOUND.*is redriven/)

  const discarded = await dead(rig, 'discard', '--all', '--yes', '--reason', 'test data')
  assert.deepEqual([discarded.code, discarded.stdout], [0, '1 discarded\n'])
  const [closed] = jsonLines((await dead(rig, 'list', '--state', 'discarded', '--json')).stdout)
  assert.equal(closed!.state, 'discarded')
})

test('what is wrong is said with what to do, and has its exit code', async () => {
  await using rig = await openDeadServer({ orders: {} }, { keys: true })
  const operator = { FOREBAY_KEY: OPERATOR_KEY }
  const cases: readonly [readonly string[], Record<string, string>, number, RegExp][] = [
    [['list'], {}, 1, /UNAUTHENTICATED[\s\S]*FOREBAY_KEY/],
    [['show', 'orders-1'], operator, 2, /orders-1 is no name of a dead letter[\s\S]*orders\/3\/17/],
    [['show', 'orders/0/99'], operator, 3, /DEAD_LETTER_NOT_FOUND/],
    [['list', '--queue', 'order'], operator, 3, /Did you mean orders/],
    [['list', '--since', 'lately'], operator, 1, /since is "lately"/],
    [['redrive', '--yes'], operator, 1, /letters is missing/],
    [['redrive', 'a/0/1', 'a/0/2', '--edit', 'x'], operator, 2, /goes with one letter/],
    [['redrive', 'orders/0/1', '--edit', '/nowhere', '--yes'], operator, 2, /\/nowhere cannot be read/],
  ]
  for (const [args, env, code, says] of cases) {
    const ended = await dead(rig, ...args, env)
    assert.equal(ended.code, code, `${args.join(' ')}: ${ended.stderr}`)
    assert.match(ended.stderr, says)
  }
})

function dead(rig: DeadServerRig, ...args: (string | Record<string, string>)[]) {
  const env = args.find((one) => typeof one === 'object') ?? {}
  const words = args.filter((one) => typeof one === 'string')
  return forebay(['dead', ...words, '--url', rig.url], { env })
}

async function deadTask(rig: DeadServerRig, body: string): Promise<string> {
  const id = await rig.submit('orders', body, { 'content-type': 'text/plain' })
  await rig.until(id, 'dead')
  return id
}

function jsonLines(text: string): Record<string, unknown>[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}
