import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readPreferences } from '../src/accept/preferences.ts'

const MAX_MS = 60_000

test('a wait is a number of seconds, cut to the longest', () => {
  for (const [header, waitMs] of [
    ['wait=5', 5_000],
    ['wait=0', 0],
    ['wait=0.5', 500],
    ['wait="7"', 7_000],
    ['Wait = 7', 7_000],
    ['wait=60', 60_000],
    ['wait=61', 60_000],
    ['wait=1e9', 60_000],
    ['wait=99999999999999999999999999', 60_000],
    ['wait=1e999', 60_000],
    ['respond-async, wait=5', 5_000],
    ['wait=5; foo=bar, handling=lenient', 5_000],
    ['wait=5, wait=9', 5_000],
    ['return=minimal', null],
    ['', null],
    [',,', null],
  ] as const) {
    assert.equal(readPreferences(header, MAX_MS).waitMs, waitMs, header)
  }
  assert.deepEqual(readPreferences(undefined, MAX_MS), { waitMs: null, respondAsync: false })
  assert.deepEqual(readPreferences('respond-async', MAX_MS), { waitMs: null, respondAsync: true })
})

test('a wait that is none is refused with its value and the way to mend it', () => {
  for (const wait of ['-1', 'abc', '1s', 'NaN', 'Infinity', '0x5', '+5', '.5', '5.', '', '"-1"', '1e-3']) {
    assert.throws(
      () => readPreferences(`wait=${wait}`, MAX_MS),
      (thrown: Error & { code: string }) => {
        assert.equal(thrown.code, 'BAD_HEADER')
        assert.ok(thrown.message.includes(`wait=${wait.replaceAll('"', '')} `), thrown.message)
        assert.match(thrown.message, /from 0 to 60/)
        return true
      },
    )
  }
  assert.throws(() => readPreferences('wait', MAX_MS), { code: 'BAD_HEADER' })
})

test('what is shown of a wrong wait is short and printable', () => {
  assert.throws(
    () => readPreferences(`wait=${'\u00e9'.repeat(5_000)}`, MAX_MS),
    (thrown: Error) => thrown.message.length < 200 && /^[\x20-\x7e]*$/.test(thrown.message),
  )
})
