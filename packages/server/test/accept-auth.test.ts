import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { authenticator } from '../src/accept/principal.ts'
import { accessKeys, type DoorsRig, openDoorsRig } from './support/doors-rig.ts'

let rig: DoorsRig
before(async () => {
  rig = await openDoorsRig({ auth: accessKeys({ ann: 'key-of-ann', bob: 'key-of-bob' }) })
})
after(() => rig.stop())

const wrong: Record<string, string | undefined> = {
  nothing: undefined,
  'an empty header': '',
  'no key': 'Bearer',
  'no key after a space': 'Bearer ',
  'another scheme': 'Basic a2V5LW9mLWFubg==',
  'only the beginning of a key': 'Bearer key-of-an',
  'more than a key': 'Bearer key-of-ann2',
  'a key and more': 'Bearer key-of-ann x',
  'the digest of a key': `Bearer ${hash('sha256', 'key-of-ann')}`,
  'a very long key': `Bearer ${'k'.repeat(10_000)}`,
}

for (const [name, authorization] of Object.entries(wrong)) {
  test(`${name}: 401, with the same words for all`, async () => {
    const headers = authorization === undefined ? {} : { authorization }
    const response = await fetch(`${rig.url}/v1/queues/orders/tasks`, { method: 'POST', body: 'x', headers })
    assert.equal(response.status, 401)
    assert.equal(response.headers.get('www-authenticate'), 'Bearer realm="forebay"')
    assert.deepEqual(await response.json(), {
      type: 'urn:forebay:problem:unauthenticated',
      title: 'Unauthenticated',
      status: 401,
      detail: 'Send the header "Authorization: Bearer <key>" with a key of this server.',
      code: 'UNAUTHENTICATED',
      retryable: false,
    })
  })
}

test('who is unknown learns nothing of queues or tasks', async () => {
  for (const path of ['/v1/queues/nope/tasks', '/v1/queues/orders/tasks']) {
    assert.equal((await fetch(rig.url + path, { method: 'POST', body: 'x' })).status, 401)
  }
  assert.equal((await fetch(`${rig.url}/v1/tasks/x`)).status, 401)
})

test('a task of another, a guessed and a damaged id are answered with the same bytes', async () => {
  const kept = await fetch(`${rig.url}/v1/queues/orders/tasks`, {
    method: 'POST',
    body: 'x',
    headers: { authorization: 'Bearer key-of-ann' },
  })
  const { id } = (await kept.json()) as { id: string }
  const read = async (text: string, key: string) => {
    const response = await fetch(`${rig.url}/v1/tasks/${text}`, { headers: { authorization: `Bearer ${key}` } })
    return { status: response.status, body: await response.text() }
  }
  assert.equal((await read(id, 'key-of-ann')).status, 200)
  const foreign = await read(id, 'key-of-bob')
  assert.equal(foreign.status, 404)
  const swapped = id.slice(0, -1) + (id.endsWith('A') ? 'B' : 'A')
  for (const text of [
    swapped,
    id.slice(0, -1),
    `${id}A`,
    'A'.repeat(52),
    'x',
    '..%2F..',
    "'%20OR%201=1",
    'y'.repeat(900),
  ]) {
    assert.deepEqual(await read(text, 'key-of-ann'), foreign, text)
  }
})

test('the scheme is read in any case, and the key decides who it is', () => {
  const authenticate = authenticator(accessKeys({ ann: 'a', bob: 'b' }).keys)
  assert.equal(authenticate('Bearer a'), 'ann')
  assert.equal(authenticate('bearer b'), 'bob')
  assert.equal(authenticate('BEARER  b'), 'bob')
})

test('the empty key opens nothing, even if its digest was configured', () => {
  const authenticate = authenticator(accessKeys({ nobody: '' }).keys)
  for (const authorization of [undefined, '', 'Bearer ', 'Bearer']) {
    assert.throws(() => authenticate(authorization), { code: 'UNAUTHENTICATED' })
  }
})
