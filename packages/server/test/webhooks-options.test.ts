import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemRandom } from '@forebay/broker'
import { Webhook } from 'standardwebhooks'
import { resolveOptions } from '../src/resolve-options.ts'
import { isWebhookSecret, newWebhookSecret, signWebhook } from '../src/webhooks/signature.ts'

const context = { hostname: 'host', folderOf: () => '/srv' }
const resolve = (webhooks: unknown) => resolveOptions({ webhooks }, context)

test('webhooks are configured as written', () => {
  const [current, old, own] = [secret(), secret(), secret()]
  const resolution = resolve({
    secrets: [current, old],
    principals: { shop: { secrets: [own] } },
    ports: [443, 8443],
    allow: ['hooks.internal', '10.0.0.0/8'],
    dns: ['10.0.0.2:53'],
    timeout: '2s',
    retries: ['1s', 500],
    concurrency: 8,
    perHost: 2,
  })
  assert.ok(resolution.ok)
  assert.deepEqual(resolution.options.webhooks, {
    secrets: [current, old],
    principals: new Map([['shop', [own]]]),
    ports: new Set([443, 8443]),
    allow: ['hooks.internal', '10.0.0.0/8'],
    ca: null,
    dns: ['10.0.0.2:53'],
    timeoutMs: 2_000,
    waitsMs: [1_000, 500],
    concurrency: 8,
    perHost: 2,
  })
})

test('whatever is wrong with secrets, their refusal does not repeat them', () => {
  const canary = 'canary0canary0canary0canary0canary0'
  for (const webhooks of [
    { secrets: canary },
    { secrets: [canary] },
    { secrets: [`whsec_${canary}!`] },
    { secrets: [`whsec_${canary}`] },
    { secrets: { [canary.slice(0, 3)]: canary } },
    { secrets: [secret(), secret(), `whsec_${canary}`] },
    { secrets: [[canary]] },
    { principals: { shop: { secrets: canary } } },
    { principals: { shop: { secrets: [canary] } } },
  ]) {
    const resolution = resolve(webhooks)
    assert.ok(!resolution.ok, JSON.stringify(webhooks))
    assert.ok(!JSON.stringify(resolution.faults).includes(canary), JSON.stringify(resolution.faults))
  }
})

test('faults name the place, what is wrong and what would do', () => {
  for (const [webhooks, path, says] of [
    [{ allow: ['http://hooks'] }, 'webhooks.allow.0', /is no target/],
    [{ ports: [0] }, 'webhooks.ports.0', /out of range/],
    [{ retries: ['5s', 'soon'] }, 'webhooks.retries.1', /no wait/],
    [{ retries: ['8d'] }, 'webhooks.retries.0', /no wait/],
    [{ retries: Array.from({ length: 31 }, () => '1s') }, 'webhooks.retries', /31 retries are too many/],
    [{ dns: ['dns.example.com'] }, 'webhooks.dns.0', /cannot be used here/],
    [{ ca: './nowhere.pem' }, 'webhooks.ca', /is not there/],
    [{ principals: { shop: {} } }, 'webhooks.principals.shop.secrets', /has no secrets/],
    [{ secret: [] }, 'webhooks.secret', /no key "secret"/],
  ] as const) {
    const resolution = resolve(webhooks)
    assert.ok(!resolution.ok)
    assert.deepEqual(
      resolution.faults.map((fault) => fault.path.join('.')),
      [path],
    )
    assert.match(resolution.faults[0]!.message, says)
  }
})

test('a signature is what the library of Standard Webhooks verifies, by either of two secrets', () => {
  const [current, old, other] = [secret(), secret(), secret()]
  const body = Buffer.from('{"ä":1}')
  const timestampS = Math.floor(Date.now() / 1_000)
  const headers = {
    'webhook-id': 'cb_1',
    'webhook-timestamp': String(timestampS),
    'webhook-signature': signWebhook([current, old], 'cb_1', timestampS, body),
  }
  assert.deepEqual(new Webhook(current).verify(body, headers), { ä: 1 })
  assert.deepEqual(new Webhook(old).verify(body, headers), { ä: 1 })
  assert.throws(() => new Webhook(other).verify(body, headers), /No matching signature/)
  assert.throws(() => new Webhook(current).verify('{"ä":2}', headers), /No matching signature/)
  assert.throws(() => new Webhook(current).verify(body, { ...headers, 'webhook-id': 'cb_2' }), /No matching/)
})

test('secrets are 24 to 64 bytes in base64', () => {
  for (const bytes of [24, 32, 64]) assert.ok(isWebhookSecret(`whsec_${Buffer.alloc(bytes, 1).toString('base64')}`))
  for (const bytes of [0, 23, 65]) assert.ok(!isWebhookSecret(`whsec_${Buffer.alloc(bytes, 1).toString('base64')}`))
  assert.ok(isWebhookSecret(secret()))
  assert.ok(!isWebhookSecret(secret().slice('whsec_'.length)))
})

function secret(): string {
  return newWebhookSecret(systemRandom)
}
