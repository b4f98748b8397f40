import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, systemClock } from '@forebay/broker'
import type { Event } from '@forebay/events'
import { type AccountData, ADA, openRig } from './rig.ts'

/** What holds on each database; `open` gives a new, empty one. */
export function userServiceRules(open: () => Promise<string | undefined>): void {
  test('whoever registers and enters the code of the event is verified, once, and told so again', async () => {
    await using rig = await openRig()
    const users = await rig.users(await databaseOf(open))
    assert.equal((await users.register(ADA)).status, 202)
    const [created] = (await rig.events(1)) as [Event<AccountData>]
    assert.equal(created.type, 'user_account_created')
    assert.equal(created.key, created.data.userId)
    const { code: _, userId, ...told } = created.data
    assert.deepEqual(told, ADA)
    const code = rig.open(created)
    assert.match(code, /^\d{6}$/)
    assert.equal((await users.verify(ADA.email, code)).status, 200)
    assert.equal((await users.verify('ADA@EXAMPLE.COM', code)).status, 200)
    const [, verified] = await rig.events(2)
    assert.equal(verified?.type, 'user_account_verified')
    assert.equal(verified?.data.userId, userId)
    // Nothing more happens to an account that is verified.
    const before = await Promise.all([users.register(ADA), users.resend(ADA.email)])
    assert.deepEqual(
      before.map(({ status }) => status),
      [202, 202],
    )
    await users.register({ ...ADA, email: 'last@example.com' })
    const all = await rig.events(3)
    assert.deepEqual(
      all.map(({ type, data }) => [type, data.email]),
      [
        ['user_account_created', ADA.email],
        ['user_account_verified', ADA.email],
        ['user_account_created', 'last@example.com'],
      ],
    )
  })

  test('a code is void after five wrong ones, after fifteen minutes, and when there is a new one', async () => {
    await using rig = await openRig()
    const clock = adjustable()
    const users = await rig.users({ ...(await databaseOf(open)), clock })
    for (const email of ['guessed@example.com', 'late@example.com', 'renewed@example.com']) {
      await users.register({ ...ADA, email })
    }
    const codes = (await rig.events(3)).map(rig.open)
    const wrong = codes[0] === '000000' ? '000001' : '000000'
    for (let guess = 1; guess <= 5; guess++) {
      assert.equal((await users.verify('guessed@example.com', wrong)).status, 422)
    }
    assert.equal((await users.verify('guessed@example.com', codes[0]!)).status, 422)

    await users.resend('renewed@example.com')
    const renewed = (await rig.events(4))[3]!
    assert.equal(renewed.type, 'verification_code_renewed')
    assert.equal((await users.verify('renewed@example.com', codes[2]!)).status, 422)
    assert.equal((await users.verify('renewed@example.com', rig.open(renewed))).status, 200)

    clock.advance(15 * 60_000)
    assert.equal((await users.verify('late@example.com', codes[1]!)).status, 422)
  })

  test('an address gets four codes an hour, whether by registering or by asking', async () => {
    await using rig = await openRig()
    const clock = adjustable()
    const users = await rig.users({ ...(await databaseOf(open)), clock })
    await users.register(ADA)
    for (let again = 1; again <= 4; again++) await users.resend(ADA.email)
    await users.register({ ...ADA, firstName: 'Augusta' })
    clock.advance(60 * 60_000)
    await users.register({ ...ADA, firstName: 'Augusta' })
    await users.register({ ...ADA, email: 'other@example.com' })
    const events = await rig.events(6)
    assert.deepEqual(
      events.map(({ type, data }) => `${type} ${data.firstName}`),
      [
        'user_account_created Ada',
        ...Array(3).fill('verification_code_renewed Ada'),
        'verification_code_renewed Augusta',
        'user_account_created Ada',
      ],
    )
    assert.equal(new Set(events.slice(0, 5).map(({ data }) => data.userId)).size, 1)
  })

  test('registrations of one address at once make one account with one code that is good', async () => {
    await using rig = await openRig()
    const users = await rig.users(await databaseOf(open))
    const answers = await Promise.all(Array.from({ length: 8 }, () => users.register(ADA)))
    assert.ok(answers.every(({ status }) => status === 202))
    const events = await rig.events(4)
    assert.equal(events.filter(({ type }) => type === 'user_account_created').length, 1)
    const [last, ...voids] = events.map(rig.open).toReversed()
    for (const code of voids) if (code !== last) assert.equal((await users.verify(ADA.email, code)).status, 422)
    const verdicts = await Promise.all(Array.from({ length: 4 }, () => users.verify(ADA.email, last!)))
    assert.ok(verdicts.every(({ status }) => status === 200))
    await users.register({ ...ADA, email: 'last@example.com' })
    const types = (await rig.events(6)).map(({ type }) => type)
    assert.deepEqual(types.slice(4), ['user_account_verified', 'user_account_created'])
  })

  test('what it publishes and logs does not hold the code', async () => {
    await using rig = await openRig()
    const users = await rig.users(await databaseOf(open))
    await users.register(ADA)
    const [record] = await rig.records(1)
    const [event] = (await rig.events(1)) as [Event<AccountData>]
    const code = rig.open(event)
    assert.ok(
      !Buffer.from(record!.value ?? [])
        .toString('latin1')
        .includes(`"${code}"`),
    )
    assert.ok(!rig.lines.join('').includes(`"${code}"`))
    // Put into another account's event it does not open.
    const stolen = { ...event, data: { ...event.data, userId: 'mallory' } }
    assert.throws(() => rig.open(stolen))
  })
}

async function databaseOf(open: () => Promise<string | undefined>) {
  const database = await open()
  return database === undefined ? {} : { database }
}

/** The system's, with a wall that can be moved. */
function adjustable(): Clock & { advance(ms: number): void } {
  let aheadMs = 0
  return {
    ...systemClock,
    wallMs: () => systemClock.wallMs() + aheadMs,
    advance(ms) {
      aheadMs += ms
    },
  }
}
