import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, systemClock } from '@forebay/broker'
import { createProducer, openDeadLetters } from '@forebay/events'
import { ACCOUNT_EVENTS, userAccountCreated, userAccountVerified } from '../events.ts'
import type { Treatment } from '../mail-catcher/catcher.ts'
import type { CaughtMails } from '../mail-catcher/caught-mails.ts'
import { publicSealingKey, sealCode } from '../sealed-code.ts'
import { ADA, openRig, until } from './rig.ts'

/** What holds on each database; `open` gives a new, empty one. */
export function notificationServiceRules(open: () => Promise<string | undefined>): void {
  test('a mail has a text and an HTML part that say the same, its names escaped, and goes to one address', async () => {
    await using rig = await openMailRig(open)
    await rig.publishCreated('u-1', { firstName: '<img src=x> & "Co"', code: '012345' })
    await until(() => rig.caught.total === 1)
    const [mail] = rig.to('u-1@example.com')
    assert.ok(mail)
    assert.equal(mail.from, 'accounts@two-step.example')
    assert.match(mail.text, /Hello <img src=x> & "Co",/)
    assert.match(mail.text, /^ {4}012 345$/m)
    assert.match(mail.html, /Hello &#60;img src=x&#62; &#38; &#34;Co&#34;,/)
    assert.match(mail.html, />012 345</)
    assert.ok(!mail.html.includes('<img'))
    assert.ok(!mail.subject.includes('012'))
    assert.match(mail.messageId, /^<[\da-f]{32}@two-step\.example>$/)
  })

  test('an event that comes again sends nothing again, also to a service that was started anew', async () => {
    await using rig = await openMailRig(open)
    await rig.publishCreated('u-1', { id: 'e-1' })
    await rig.publishCreated('u-1', { id: 'e-1' })
    await until(() => rig.logged('came again') === 1)
    await rig.restart()
    await rig.publishCreated('u-1', { id: 'e-1' })
    await rig.publishVerified('u-1', 'e-2')
    await until(() => rig.caught.total === 2)
    assert.deepEqual(
      rig.to('u-1@example.com').map(({ subject }) => subject),
      ['Your code', 'Your address is verified'],
    )
    assert.equal(rig.logged('came again'), 2)
  })

  test('4xx and no answer are tried again, in order for the account; an answer that was cut brings the same mail', async () => {
    const treatments: Record<string, Treatment[]> = {
      'busy@example.com': ['later', 'later', 'accept'],
      'cut@example.com': ['drop', 'drop', 'accept'],
    }
    await using rig = await openMailRig(open, (to) => treatments[to]?.shift() ?? 'accept')
    for (const name of ['busy', 'cut', 'fine']) {
      await rig.publishCreated(name)
      await rig.publishVerified(name)
    }
    await until(() => rig.caught.total === 2 + 4 + 2)
    const subjects = (name: string) => rig.to(`${name}@example.com`).map(({ subject }) => subject)
    assert.deepEqual(subjects('busy'), ['Your code', 'Your address is verified'])
    assert.deepEqual(subjects('fine'), ['Your code', 'Your address is verified'])
    assert.deepEqual(subjects('cut'), ['Your code', 'Your code', 'Your code', 'Your address is verified'])
    const [first, second, third] = rig.to('cut@example.com')
    assert.equal(new Set([first, second, third].map((mail) => mail?.messageId)).size, 1)
    assert.equal(new Set([first, second, third].map((mail) => mail?.text)).size, 1)
  })

  test('5xx is a dead letter and halts nobody; redriven when the mailbox is there, the mail goes out', async () => {
    let isThere = false
    await using rig = await openMailRig(open, (to) => (to === 'gone@example.com' && !isThere ? 'refuse' : 'accept'))
    await rig.publishCreated('gone', { id: 'e-gone' })
    await rig.publishCreated('fine')
    const [letter] = await rig.records(1, 'accounts.notification-service.dead')
    const headers = Object.fromEntries(letter!.headers.map(([name, value]) => [name, String(value)]))
    assert.equal(headers['fb-dead-code'], 'WORKER_REFUSED')
    assert.match(headers['fb-dead-detail'] ?? '', /550/)
    await until(() => rig.to('fine@example.com').length === 1)
    isThere = true
    await using letters = await openDeadLetters({
      broker: rig.log,
      group: 'notification-service',
      events: ACCOUNT_EVENTS,
    })
    const { redriven } = await letters.redrive({ filter: {} }, { by: 'test', reason: 'the mailbox is there' })
    assert.equal(redriven, 1)
    await until(() => rig.to('gone@example.com').length === 1)
  })

  test('a code that expired while SMTP was away is not sent; later mails of the account are', async () => {
    let aheadMs = 0
    const clock: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() + aheadMs }
    let isAway = true
    await using rig = await openMailRig(open, () => (isAway ? 'later' : 'accept'), clock)
    await rig.publishCreated('u-1')
    await until(() => rig.logged('could not be sent') > 0)
    aheadMs = 16 * 60_000
    await until(() => rig.logged('expired before') === 1)
    isAway = false
    await rig.publishVerified('u-1')
    await until(() => rig.caught.total === 1)
    assert.deepEqual(
      rig.to('u-1@example.com').map(({ subject }) => subject),
      ['Your address is verified'],
    )
  })

  test('a code for a key that is not here is a dead letter, and nothing of it is in a log', async () => {
    await using rig = await openMailRig(open)
    await rig.publishCreated('u-1', { keyId: 'another' })
    const [letter] = await rig.records(1, 'accounts.notification-service.dead')
    const detail = letter!.headers.find(([name]) => name === 'fb-dead-detail')
    assert.match(String(detail?.[1]), /does not open/)
    assert.equal(rig.caught.total, 0)
  })
}

async function openMailRig(
  open: () => Promise<string | undefined>,
  treat: (to: string) => Treatment = () => 'accept',
  clock: Clock = systemClock,
) {
  await using stack = new AsyncDisposableStack()
  const rig = stack.use(await openRig())
  const database = await open()
  const catcher = stack.use(await rig.catcher({ treat }))
  const options = { ...(database === undefined ? {} : { database }), clock }
  let service = await rig.notifications(catcher.smtp, options)
  const producer = stack.use(await createProducer({ broker: rig.log, source: '/user-service', events: ACCOUNT_EVENTS }))
  stack.defer(() => service.stop())
  const mailKey = publicSealingKey(rig.keys.publicKey)
  const held = stack.move()
  const caught: CaughtMails = catcher.mails
  return {
    caught,
    log: rig.log,
    records: rig.records,
    to: (address: string) => caught.list({ to: address, after: 0, limit: 100 }),
    logged: (text: string) => rig.lines.filter((line) => line.includes(text)).length,
    async publishCreated(
      userId: string,
      {
        code = '123456',
        firstName = 'Ada',
        id,
        keyId,
      }: Partial<Record<'code' | 'firstName' | 'id' | 'keyId', string>> = {},
    ) {
      const sealed = sealCode(code, { userId, codeId: 'c' }, mailKey)
      const expiresAt = new Date(Date.now() + 15 * 60_000).toISOString()
      const data = {
        ...{ userId, email: `${userId}@example.com`, firstName, lastName: ADA.lastName },
        code: { ...sealed, ...(keyId === undefined ? {} : { keyId }), expiresAt },
      }
      await producer.publish(userAccountCreated, { data, ...(id === undefined ? {} : { id }) })
    },
    async publishVerified(userId: string, id?: string) {
      const verifiedAt = new Date().toISOString()
      const data = { userId, email: `${userId}@example.com`, firstName: 'Ada', verifiedAt }
      await producer.publish(userAccountVerified, { data, ...(id === undefined ? {} : { id }) })
    },
    async restart() {
      await service.stop()
      service = await rig.notifications(catcher.smtp, options)
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}
