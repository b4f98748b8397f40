import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, systemClock } from '@forebay/broker'
import { SILENT_LOG } from '@forebay/server/dispatch'
import { publicSealingKey } from '../sealed-code.ts'
import type { Accounts } from '../user-service/accounts.ts'
import { ANSWER_MARK_MS, createHttpApp } from '../user-service/http-app.ts'
import { createCodeMaker } from '../user-service/verification-code.ts'
import { ADA, type Answer, newKeys, openRig } from './rig.ts'

test('no answer tells whether there is an account', async () => {
  await using rig = await openRig()
  const users = await rig.users()
  await users.register(ADA)
  await users.register({ ...ADA, email: 'verified@example.com' })
  const [pending, other] = await rig.events(2)
  const code = rig.open(other!)
  await users.verify('verified@example.com', code)
  const wrong = [rig.open(pending!), code].includes('000000') ? '000001' : '000000'
  const addresses = [ADA.email, 'verified@example.com', 'nobody@example.com']

  const registered = await Promise.all(
    [...addresses, 'nobody-else@example.com'].map((email) => users.register({ ...ADA, email })),
  )
  const resent = await Promise.all(addresses.map((email) => users.resend(email)))
  assert.equal(new Set([...registered, ...resent].map(shown)).size, 1)
  // 'nobody' has registered by now.
  const verdicts = await Promise.all([...addresses, 'unknown@example.com'].map((email) => users.verify(email, wrong)))
  assert.equal(new Set(verdicts.map(shown)).size, 1)
  // Neither does a code that is used up say more than one that is wrong.
  for (let nth = 1; nth <= 5; nth++) await users.verify(ADA.email, wrong)
  assert.equal(shown(await users.verify(ADA.email, wrong)), shown(verdicts[0]!))
})

test('answers leave at the same mark, whatever was done', async () => {
  let nowMs = 0
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => nowMs,
    async sleep(ms) {
      nowMs += ms
    },
  }
  let workMs = 0
  const work = async () => {
    nowMs += workMs
  }
  const accounts: Accounts = {
    register: work,
    resend: work,
    verify: async () => {
      await work()
      return 'wrong'
    },
  }
  const app = createHttpApp({ accounts, clock, log: SILENT_LOG, requestsPerMinute: 1_000, isBehindProxy: false })
  for (const [took, answeredAfter] of [
    [0.4, ANSWER_MARK_MS],
    [3, ANSWER_MARK_MS],
    [49, ANSWER_MARK_MS],
    [51, 2 * ANSWER_MARK_MS],
  ] as const) {
    for (const path of ['register', 'resend', 'verify']) {
      workMs = took
      const before = nowMs
      const payload = { ...ADA, code: '123456' }
      const { statusCode } = await app.inject({ method: 'POST', url: `/api/${path}`, payload })
      assert.ok(statusCode === 202 || statusCode === 422)
      assert.ok(Math.abs(nowMs - before - answeredAfter) < 1e-6, `${path}: ${nowMs - before}`)
    }
  }
  await app.close()
})

test('codes are stored by a keyed hash that is tied to the account', () => {
  const { publicKey, pepper } = newKeys()
  const options = { pepper, mailKey: publicSealingKey(publicKey), newCode: () => '042042' }
  const codes = createCodeMaker(options)
  const { stored } = codes.make('u-1', 0)
  assert.ok(codes.matches({ userId: 'u-1', code: stored }, '042042'))
  assert.ok(!codes.matches({ userId: 'u-2', code: stored }, '042042'))
  assert.ok(!codes.matches({ userId: 'u-1', code: { ...stored, codeId: 'another' } }, '042042'))
  assert.ok(!codes.matches(null, '042042'))
  // The database alone tells nothing: with another pepper the hash is another.
  const elsewhere = createCodeMaker({ ...options, pepper: Buffer.alloc(32, 1) })
  assert.ok(!elsewhere.matches({ userId: 'u-1', code: stored }, '042042'))
  assert.throws(() => createCodeMaker({ ...options, pepper: Buffer.alloc(8) }), /pepper/)
})

function shown({ status, text, headers }: Answer): string {
  const names = [...headers.keys()].filter((name) => name !== 'date' && name !== 'traceparent')
  return JSON.stringify([status, text, names, headers.get('content-length')])
}
