import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { systemRandom } from '@forebay/broker'
import fc from 'fast-check'
import { hmacSha256 } from '../src/accept/hmac-sha256.ts'
import { createTaskIds, TASK_ID_CHARACTERS, type TaskIdKey, type TaskIdKeys } from '../src/accept/task-id.ts'

test('an id gives back what it was made of, and only to its owner', () => {
  const ids = createTaskIds(keyRing([0]), ['orders', 'thumbnails'], systemRandom)
  fc.assert(
    fc.property(owners, owners, queues, lanes, times, budgets, (owner, other, queue, lane, acceptedAtMs, budgetMs) => {
      const id = ids.mint({ owner, queue, lane, acceptedAtMs, budgetMs })
      assert.equal(id.length, TASK_ID_CHARACTERS)
      assert.match(id, /^[\w-]+$/)
      const parts = ids.read(id, owner)
      assert.ok(parts !== null)
      assert.deepEqual({ ...parts, deadlineAtMs: 0 }, { id, acceptedAtMs, deadlineAtMs: 0, queue, lane })
      const lateMs = parts.deadlineAtMs - (acceptedAtMs + budgetMs)
      assert.ok(lateMs >= 0 && lateMs < 1_000, `the deadline is ${lateMs} ms late`)
      if (other !== owner) assert.equal(ids.read(id, other), null)
    }),
  )
})

test('no change of any bit passes, and no other length', () => {
  const ids = createTaskIds(keyRing([0]), ['orders'], systemRandom)
  const id = ids.mint({ owner: 'shop', queue: 'orders', lane: 3, acceptedAtMs: 1_750_000_000_000, budgetMs: 60_000 })
  const bytes = Buffer.from(id, 'base64url')
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    assert.equal(ids.read(flipped.toString('base64url'), 'shop'), null, `bit ${bit}`)
  }
  for (let length = 0; length < id.length; length++) assert.equal(ids.read(id.slice(0, length), 'shop'), null)
  for (const more of ['A', '=', ' ', '\n', id]) assert.equal(ids.read(id + more, 'shop'), null)
  assert.notEqual(ids.read(id, 'shop'), null)
})

test('one id has one spelling', () => {
  const ids = createTaskIds(keyRing([0]), ['orders'], systemRandom)
  const id = ids.mint({ owner: 'shop', queue: 'orders', lane: 3, acceptedAtMs: 1_750_000_000_000, budgetMs: 60_000 })
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/='
  for (let at = 0; at < id.length; at++) {
    for (const letter of alphabet) {
      if (letter === id[at]) continue
      assert.equal(ids.read(id.slice(0, at) + letter + id.slice(at + 1), 'shop'), null)
    }
  }
})

test('any text is safe to read', () => {
  const ids = createTaskIds(keyRing([0]), ['orders'], systemRandom)
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.string({
      unit: fc.constantFrom(...'ABCdef019-_'),
      minLength: TASK_ID_CHARACTERS,
      maxLength: TASK_ID_CHARACTERS,
    }),
    fc.constantFrom('', '__proto__', '../../etc/passwd', "' OR 1=1 --", 'A'.repeat(1_000_000)),
  )
  fc.assert(fc.property(text, (given) => ids.read(given, 'shop') === null))
})

test('ids of every known key are good, those of a key nobody has are not', () => {
  const old = keyRing([0])
  const both = { ...old, find: (id: number) => old.find(id) ?? next.find(id), signing: () => next.signing(0) }
  const next = keyRing([1])
  const before = createTaskIds(old, ['orders'], systemRandom)
  const after = createTaskIds(both, ['orders'], systemRandom)
  const task = { owner: 'shop', queue: 'orders', lane: 0, acceptedAtMs: 1, budgetMs: 1 }
  assert.notEqual(after.read(before.mint(task), 'shop'), null)
  assert.notEqual(after.read(after.mint(task), 'shop'), null)
  assert.equal(before.read(after.mint(task), 'shop'), null)
})

test('the same number with another secret forges nothing', () => {
  const ids = createTaskIds(keyRing([0]), ['orders'], systemRandom)
  const forger = createTaskIds(keyRing([0]), ['orders'], systemRandom)
  const task = { owner: 'shop', queue: 'orders', lane: 0, acceptedAtMs: 1, budgetMs: 1 }
  assert.equal(ids.read(forger.mint(task), 'shop'), null)
})

test('an id of a queue that the configuration has no more is still read', () => {
  const keys = keyRing([0])
  const task = { owner: 'shop', queue: 'gone', lane: 7, acceptedAtMs: 5, budgetMs: 1_000 }
  const id = createTaskIds(keys, ['gone'], systemRandom).mint(task)
  const parts = createTaskIds(keys, ['orders'], systemRandom).read(id, 'shop')
  assert.deepEqual(parts, { id, acceptedAtMs: 5, deadlineAtMs: 1_005, queue: '', lane: 7 })
})

test('signatures are HMAC-SHA256, whatever the key and the text', () => {
  const keys = fc.uint8Array({ minLength: 1, maxLength: 64 })
  const texts = fc.string({ unit: 'grapheme', maxLength: 2_000 })
  fc.assert(
    fc.property(keys, texts, (key, text) => {
      assert.equal(hmacSha256(key, text), createHmac('sha256', key).update(text).digest('base64url'))
    }),
  )
})

const owners = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
const queues = fc.constantFrom('orders', 'thumbnails')
const lanes = fc.nat({ max: 65_535 })
const times = fc.nat({ max: 4_000_000_000_000 })
const budgets = fc.integer({ min: 1, max: 100 * 365 * 86_400_000 })

function keyRing(numbers: readonly number[]): TaskIdKeys {
  const keys = new Map<number, TaskIdKey>()
  for (const id of numbers) keys.set(id, { id, secret: randomBytes(32) })
  return { signing: () => keys.get(numbers.at(-1)!)!, find: (id) => keys.get(id) }
}
