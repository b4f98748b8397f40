import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ADA, openRig, until } from './rig.ts'

test('one trace goes from the HTTP request over the events to the mails and every log, and holds no address', async () => {
  await using rig = await openRig()
  const catcher = await rig.catcher()
  const users = await rig.users()
  await rig.notifications(catcher.smtp)
  const recommendations = await rig.recommendations()
  const [registering, verifying] = ['1', '2'].map((digit) => digit.repeat(32)) as [string, string]
  const headerOf = (traceId: string) => ({ traceparent: `00-${traceId}-${'3'.repeat(16)}-01` })

  const registered = await users.register(ADA, headerOf(registering))
  assert.match(registered.headers.get('traceparent') ?? '', new RegExp(`^00-${registering}-(?!3{16})`))
  const [created] = await rig.events(1)
  const code = rig.open(created!)
  await users.post('verify', { email: ADA.email, code }, headerOf(verifying))
  await until(() => catcher.mails.total === 2)
  await until(async () => {
    const response = await fetch(`${recommendations.url}/api/recommendations`)
    return ((await response.json()) as { total: number }).total === 1
  })

  const events = await rig.events(2)
  assert.deepEqual(
    events.map(({ traceparent }) => traceparent?.slice(3, 35)),
    [registering, verifying],
  )
  const mails = catcher.mails.list({ to: ADA.email, after: 0, limit: 10 })
  assert.deepEqual(
    mails.map(({ traceparent }) => traceparent.slice(3, 35)),
    [registering, verifying],
  )
  const lines = rig.lines.map((line) => JSON.parse(line) as { readonly traceId?: string; readonly msg: string })
  const said = (traceId: string) => lines.filter((line) => line.traceId === traceId).map(({ msg }) => msg)
  assert.deepEqual(said(registering).toSorted(), ['A mail was sent.', 'A request was answered.'])
  assert.deepEqual(said(verifying).toSorted(), ['A mail was sent.', 'A reader is known.', 'A request was answered.'])
  assert.ok(!rig.lines.join('').includes(ADA.email))
})
