import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ForebayError } from '@forebay/protocol'
import fc from 'fast-check'
import { allowedTargets, isAllowEntry } from '../src/webhooks/allowed-targets.ts'
import { checkCallbackUrl } from '../src/webhooks/callback-url.ts'
import { isPublicAddress } from '../src/webhooks/public-address.ts'
import { HOSTILE_URLS } from './support/hostile-urls.ts'

const rules = (allow: readonly string[] = [], ports: readonly number[] = [443]) => ({
  allowed: allowedTargets(allow),
  ports: new Set(ports),
})

test('what leads inside, or anywhere but to https on a public host, is refused with what is wrong with it', () => {
  assert.ok(HOSTILE_URLS.length >= 40)
  // Also where every port is open: it is the host that is wrong.
  const everyPort = rules(
    [],
    Array.from({ length: 65_535 }, (_, port) => port + 1),
  )
  for (const { url, says, aboutPort } of HOSTILE_URLS) {
    for (const ruled of aboutPort ? [rules()] : [rules(), everyPort]) {
      assert.throws(
        () => checkCallbackUrl(url, ruled),
        (thrown) => thrown instanceof ForebayError && thrown.code === 'CALLBACK_REFUSED' && says.test(thrown.message),
        url,
      )
    }
  }
})

test('public hosts and addresses pass, in one spelling', () => {
  for (const [given, href, host] of [
    ['https://hooks.example.com/a?b=c', 'https://hooks.example.com/a?b=c', 'hooks.example.com:443'],
    ['HTTPS://Hooks.Example.com:443', 'https://hooks.example.com/', 'hooks.example.com:443'],
    ['https://8.8.8.8/x#part', 'https://8.8.8.8/x', '8.8.8.8:443'],
    ['https://[2606:4700::1111]/', 'https://[2606:4700::1111]/', '[2606:4700::1111]:443'],
    ['https://xn--bcher-kva.example/%C3%BC', 'https://xn--bcher-kva.example/%C3%BC', 'xn--bcher-kva.example:443'],
  ] as const) {
    const url = checkCallbackUrl(given, rules())
    assert.deepEqual([url.href, url.host, url.secure], [href, host, true])
  }
})

test('an operator lets in hosts, addresses and networks, and only those may be called by http', () => {
  const ruled = rules(['hooks.internal', '127.0.0.1', '10.0.0.0/8', 'fd00::/8'], [80, 443, 8443])
  for (const url of [
    'http://hooks.internal/x',
    'https://HOOKS.internal:8443/x',
    'http://127.0.0.1/',
    'http://10.9.8.7/',
    'https://[fd00::1]:8443/',
  ]) {
    checkCallbackUrl(url, ruled)
  }
  for (const url of [
    'http://hooks.example.com/',
    'http://8.8.8.8/',
    'http://127.0.0.2/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:10.0.0.1]/',
    'https://other.internal/',
    'https://a.hooks.internal/',
  ]) {
    assert.throws(() => checkCallbackUrl(url, ruled), { code: 'CALLBACK_REFUSED' }, url)
  }
})

test('an entry of the allow list is a host, an address or a network', () => {
  for (const entry of ['a', 'hooks.internal', '10.0.0.1', '10.0.0.0/8', '0.0.0.0/0', '::1', 'fd00::/8']) {
    assert.ok(isAllowEntry(entry), entry)
  }
  for (const entry of [
    '',
    'a b',
    'http://a',
    'a:80',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10/8',
    'fe80::1%eth0',
    '::/129',
    'a/8',
    '*.a',
  ]) {
    assert.ok(!isAllowEntry(entry), entry)
  }
})

test('an IPv6 address is public only within global unicast, whatever it carries inside', () => {
  const group = fc.integer({ min: 0, max: 0xffff }).map((value) => value.toString(16))
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const first = Number.parseInt(groups[0]!, 16)
      if (first < 0x2000 || first > 0x3fff) assert.ok(!isPublicAddress(groups.join(':')))
    }),
  )
  for (const address of [
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
    '64:ff9b:1::1',
    '2002:7f00:1::',
    '2001::1',
    'fe80::1',
    'fec0::1',
    'ff02::1',
    '100::1',
    '5f00::1',
  ]) {
    assert.ok(!isPublicAddress(address), address)
  }
  for (const address of [
    '2606:4700::1111',
    '2a00:1450::1',
    '8.8.8.8',
    '1.1.1.1',
    '99.255.255.255',
    '172.15.0.1',
    '172.32.0.1',
    '192.167.0.1',
    '100.128.0.1',
  ]) {
    assert.ok(isPublicAddress(address), address)
  }
})
