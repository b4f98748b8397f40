import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FLOW_BODY_BYTES_MAX, FLOW_NAME_CHARS_MAX, flowOf } from '../src/dispatch/flow-of.ts'
import type { FairnessOptions } from '../src/options.ts'
import { PLAIN_TASK, type Task } from '../src/task.ts'

const by = (source: FairnessOptions['by']): FairnessOptions => ({ by: source, weights: new Map() })

function task(change: Partial<Task> = {}): Task {
  return {
    id: '1',
    queue: 'q',
    key: 'customer-7',
    payload: Buffer.from('{"tenant": {"id": "acme", "number": 7, "tags": ["x"]}}'),
    contentType: 'application/json',
    headers: [['x-tenant', 'globex']],
    owner: 'shop',
    lane: 0,
    acceptedAtMs: 0,
    budgetMs: 1,
    ...PLAIN_TASK,
    ...change,
  }
}

test('the flow of a task is its owner, its key, a header of it, or something in its body', () => {
  assert.equal(flowOf(by({ from: 'owner' }), task()), 'shop')
  assert.equal(flowOf(by({ from: 'key' }), task()), 'customer-7')
  assert.equal(flowOf(by({ from: 'header', header: 'x-tenant' }), task()), 'globex')
  assert.equal(flowOf(by({ from: 'body', pointer: '/tenant/id' }), task()), 'acme')
  assert.equal(flowOf(by({ from: 'body', pointer: '/tenant/number' }), task()), '7')
  assert.equal(flowOf(by({ from: 'body', pointer: '/tenant/tags/0' }), task()), 'x')
})

test('tasks that name no flow are one flow, and so is everything without fairness', () => {
  assert.equal(flowOf(null, task()), '')
  assert.equal(flowOf(by({ from: 'key' }), task({ key: null })), '')
  assert.equal(flowOf(by({ from: 'header', header: 'x-other' }), task()), '')
  const pointer = by({ from: 'body', pointer: '/tenant/id' })
  assert.equal(flowOf(by({ from: 'body', pointer: '/tenant' }), task()), '')
  assert.equal(flowOf(by({ from: 'body', pointer: '/__proto__/constructor' }), task()), '')
  assert.equal(flowOf(pointer, task({ contentType: 'text/plain' })), '')
  assert.equal(flowOf(pointer, task({ payload: Buffer.from('{"tenant":') })), '')
  assert.equal(flowOf(pointer, task({ payload: Buffer.alloc(0) })), '')
})

test('a body beyond the limit is not parsed, and a long name is cut', () => {
  const pointer = by({ from: 'body', pointer: '/tenant' })
  const body = (bytes: number) => {
    const frame = '{"tenant":"acme","rest":""}'
    return Buffer.from(`{"tenant":"acme","rest":"${'x'.repeat(bytes - frame.length)}"}`)
  }
  assert.equal(flowOf(pointer, task({ payload: body(FLOW_BODY_BYTES_MAX) })), 'acme')
  assert.equal(flowOf(pointer, task({ payload: body(FLOW_BODY_BYTES_MAX + 1) })), '')
  const long = JSON.stringify({ tenant: 'y'.repeat(10_000) })
  assert.equal(flowOf(pointer, task({ payload: Buffer.from(long) })), 'y'.repeat(FLOW_NAME_CHARS_MAX))
})
