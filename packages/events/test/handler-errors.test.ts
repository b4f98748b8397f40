import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DeadError, RetryError, refusalOf } from '../src/handler-errors.ts'

test('whatever a handler throws says whether to try again, and when', () => {
  assert.deepEqual(refusalOf(new TypeError('no')), { then: 'retry', message: 'TypeError: no', afterMs: 0 })
  assert.deepEqual(refusalOf(new RetryError('busy', { afterMs: 50, cause: 1 })), {
    then: 'retry',
    message: 'RetryError: busy',
    afterMs: 50,
  })
  assert.deepEqual(refusalOf(new DeadError('never')), { then: 'dead', message: 'DeadError: never' })
  for (const afterMs of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.deepEqual(refusalOf(new RetryError('', { afterMs })), { then: 'retry', message: 'RetryError: ', afterMs: 0 })
  }
  for (const thrown of [
    undefined,
    null,
    'text',
    7,
    Symbol('s'),
    Object.create(null),
    {
      toString: () => {
        throw 1
      },
    },
  ]) {
    assert.equal(refusalOf(thrown).then, 'retry')
  }
  assert.equal(refusalOf(Object.assign(new Error('x'), { message: Object.create(null) })).message, 'Error: object')
})
