import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ADA, type Answer, openRig } from './rig.ts'

const LONG = 'a'.repeat(300)

test('faulty registrations are told every field at fault, and leave nothing behind', async () => {
  await using rig = await openRig()
  const users = await rig.users()
  const faulty: readonly (readonly [unknown, readonly string[]])[] = [
    [{}, ['firstName', 'lastName', 'email']],
    [[], ['firstName', 'lastName', 'email']],
    ['"text"', ['firstName', 'lastName', 'email']],
    ['null', ['firstName', 'lastName', 'email']],
    [{ ...ADA, firstName: { $ne: 1 } }, ['firstName']],
    [{ ...ADA, firstName: '   ' }, ['firstName']],
    [{ ...ADA, firstName: LONG }, ['firstName']],
    [{ ...ADA, firstName: 'Click example.com' }, ['firstName']],
    [{ ...ADA, firstName: 'http://example.com' }, ['firstName']],
    [{ ...ADA, firstName: '<b>Ada</b>' }, ['firstName']],
    [{ ...ADA, firstName: 'Ada\r\nBcc: all@example.com' }, ['firstName']],
    [{ ...ADA, firstName: 'Ada\u0000' }, ['firstName']],
    [{ ...ADA, firstName: '\u202eadA' }, ['firstName']],
    [{ ...ADA, lastName: '123456' }, ['lastName']],
    [{ ...ADA, email: 'ada' }, ['email']],
    [{ ...ADA, email: '@example.com' }, ['email']],
    [{ ...ADA, email: 'ada@' }, ['email']],
    [{ ...ADA, email: 'ada@localhost' }, ['email']],
    [{ ...ADA, email: 'ada@127.0.0.1' }, ['email']],
    [{ ...ADA, email: 'ada@[127.0.0.1]' }, ['email']],
    [{ ...ADA, email: 'ada@exa mple.com' }, ['email']],
    [{ ...ADA, email: 'a..da@example.com' }, ['email']],
    [{ ...ADA, email: '"a b"@example.com' }, ['email']],
    [{ ...ADA, email: 'ada@example.com\r\nRCPT TO:<b@example.com>' }, ['email']],
    [{ ...ADA, email: 'ada@example.com,bob@example.com' }, ['email']],
    [{ ...ADA, email: 'Ada <ada@example.com>' }, ['email']],
    [{ ...ADA, email: `${LONG}@example.com` }, ['email']],
    [{ ...ADA, email: `ada@${LONG}.com` }, ['email']],
    [{ ...ADA, email: 'ädä@example.com' }, ['email']],
    [{ ...ADA, email: ['ada@example.com'] }, ['email']],
  ]
  for (const [body, fields] of faulty) {
    const answer = await users.register(body)
    assert.equal(answer.status, 422, `${JSON.stringify(body)}: ${answer.text}`)
    assert.deepEqual(fieldsOf(answer), fields, JSON.stringify(body))
    assert.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8')
  }
  for (const code of ['', '12345', '1234567', '12345a', '１２３４５６', 123456, null]) {
    assert.deepEqual(fieldsOf(await users.post('verify', { email: ADA.email, code })), ['code'])
  }
  // Names of many languages, and addresses that are the same in the end.
  const names = ['José', 'Nguyễn Thị', "O'Neill", 'Jean-Luc', '孔明', 'Martin Jr.', 'J. R. R.', 'ශ්‍රී'.slice(0, 2)]
  for (const [index, firstName] of names.entries()) {
    const answer = await users.register({ ...ADA, firstName, email: ` Ada+${index}@BÜCHER.example ` })
    assert.equal(answer.status, 202, `${firstName}: ${answer.text}`)
  }
  const events = await rig.events(names.length)
  assert.equal(events.length, names.length)
  assert.equal(events[0]!.data.email, 'Ada+0@xn--bcher-kva.example')
})

test('what is no JSON of ours is refused, and the service goes on', async () => {
  await using rig = await openRig()
  const users = await rig.users()
  const json = { 'content-type': 'application/json' }
  const cases: readonly (readonly [body: string, headers: Record<string, string>, status: number])[] = [
    ['{', json, 400],
    ['', json, 400],
    ['{"__proto__": {"email": "x"}}', json, 400],
    [JSON.stringify({ ...ADA, more: LONG.repeat(20) }), json, 413],
    [JSON.stringify(ADA), { 'content-type': 'text/plain' }, 415],
    ['firstName=Ada', { 'content-type': 'application/x-www-form-urlencoded' }, 415],
  ]
  for (const [body, headers, status] of cases) {
    const answer = await users.post('register', body, headers)
    assert.equal(answer.status, status, `${body}: ${answer.text}`)
    assert.equal(typeof answer.body.title, 'string')
  }
  assert.equal((await fetch(`${users.url}/api/register`)).status, 404)
  assert.equal((await fetch(`${users.url}/../../etc/passwd`)).status, 404)
  assert.equal((await fetch(`${users.url}/page/page.js`)).status, 404)
  assert.equal((await users.register(ADA)).status, 202)
})

test('too many requests from one address are told when to come again; others are not concerned', async () => {
  await using rig = await openRig()
  const users = await rig.users({ requestsPerMinute: 3, isBehindProxy: true })
  const from = (address: string) => users.register({}, { 'x-forwarded-for': address })
  for (let nth = 1; nth <= 3; nth++) assert.equal((await from('2001:db8::1')).status, 422)
  const refused = await from('2001:db8::ffff')
  assert.equal(refused.status, 429)
  assert.ok(Number(refused.headers.get('retry-after')) >= 1)
  assert.equal((await from('2001:db9::1')).status, 422)
})

test('every answer has the security headers, and the page needs nothing from elsewhere', async () => {
  await using rig = await openRig()
  const users = await rig.users()
  for (const path of ['/', '/page.js', '/page.css', '/nothing']) {
    const response = await fetch(`${users.url}${path}`)
    const policy = response.headers.get('content-security-policy') ?? ''
    assert.match(policy, /default-src 'none'/)
    assert.ok(!policy.includes('unsafe'))
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff')
    assert.equal(response.headers.get('x-frame-options'), 'DENY')
    assert.ok(!/https?:\/\//.test(await response.text()))
  }
  // A trace that is none begins anew, and goes no further.
  const { status, headers } = await users.register(ADA, { traceparent: 'x'.repeat(5_000) })
  assert.equal(status, 202)
  assert.match(headers.get('traceparent') ?? '', /^00-[\da-f]{32}-[\da-f]{16}-01$/)
})

function fieldsOf({ body }: Answer): readonly string[] {
  return (body.errors ?? []).map(({ field }) => field)
}
