import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nearestName } from '../src/nearest-name.ts'
import { formatAddress, parseAddress } from '../src/options/address.ts'
import { formatDuration, parseDuration } from '../src/options/duration.ts'
import { formatSize, parseSize } from '../src/options/size.ts'

test('durations are read with their units, and a plain number is ms', () => {
  const expected = { '500ms': 500, '30s': 30_000, '10m': 600_000, '1h': 3_600_000, '7d': 604_800_000, '1.5s': 1_500 }
  for (const [text, ms] of Object.entries(expected)) assert.equal(parseDuration(text), ms)
  assert.equal(parseDuration(250), 250)
  assert.equal(parseDuration('250'), 250)
})

test('what is no duration is null', () => {
  for (const given of ['', 's', '-1s', '1 s', '1w', '1e3s', 'PT1S', '0.5ms', -1, 1.5, Number.NaN, null, {}, true]) {
    assert.equal(parseDuration(given), null, String(given))
  }
})

test('sizes are read with binary and decimal units, and a plain number is bytes', () => {
  const expected = { '1MiB': 1_048_576, '512KiB': 524_288, '2GiB': 2_147_483_648, '100kB': 100_000, '5 MB': 5_000_000 }
  for (const [text, bytes] of Object.entries(expected)) assert.equal(parseSize(text), bytes)
  assert.equal(parseSize('10B'), 10)
  assert.equal(parseSize(10), 10)
})

test('what is no size is null', () => {
  for (const given of ['', 'MiB', '1M', '1mb', '-1B', '1.5B', -1, 0.5, [], null]) {
    assert.equal(parseSize(given), null, String(given))
  }
})

test('what is formatted reads back as the same amount', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 50), (amount) => {
      assert.equal(parseDuration(formatDuration(amount)), amount)
      assert.equal(parseSize(formatSize(amount)), amount)
    }),
  )
})

test('addresses are host:port, IPv6 in brackets, and read back as written', () => {
  for (const text of ['127.0.0.1:8080', 'localhost:0', '[::1]:8081', 'kafka-1.internal:65535']) {
    assert.equal(formatAddress(parseAddress(text)!), text)
  }
  for (const text of ['8080', ':8080', 'host', 'host:', 'host:65536', '::1:80', '[1.2.3.4]:1', 'a b:1', 'http://a:1']) {
    assert.equal(parseAddress(text), null, text)
  }
})

test('the nearest name is found through slips of the finger, and no far-fetched one is offered', () => {
  const known = ['thumbnails', 'orders', 'bodyMax', 'retry']
  assert.equal(nearestName('thumbnail', known), 'thumbnails')
  assert.equal(nearestName('ordres', known), 'orders')
  assert.equal(nearestName('bodymax', known), 'bodyMax')
  assert.equal(nearestName('retries', known), 'retry')
  assert.equal(nearestName('payments', known), null)
  assert.equal(nearestName('', known), null)
  assert.equal(nearestName('x'.repeat(100_000), known), null)
})
