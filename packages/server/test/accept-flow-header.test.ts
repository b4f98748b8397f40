import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { flowOf } from '../src/dispatch/flow-of.ts'
import { decodeTask } from '../src/records.ts'
import { type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'

const fairness = { by: { from: 'header', header: 'x-tenant' }, weights: new Map() } as const
let rig: DoorsRig
before(async () => {
  const queues = [queueOptions('fair', { partitions: 1, fairness }), queueOptions('plain', { partitions: 1 })]
  rig = await openDoorsRig({ queues })
})
after(() => rig.stop())

/** What a dispatcher finds of a task that was handed in with these headers. */
async function flowAfter(queue: string, headers: Record<string, string>): Promise<string> {
  const listener = await rig.broker.listen({ topic: `forebay.tasks.${queue}`, partition: 0, from: 'latest' })
  const response = await fetch(`${rig.url}/v1/queues/${queue}/tasks`, { method: 'POST', body: 'x', headers })
  assert.equal(response.status, 202)
  for await (const [record] of listener) {
    await listener.close()
    return flowOf(fairness, decodeTask(record!, { queue, budgetMs: 1, lanes: 1 }))
  }
  throw new Error('The log ended.')
}

test('a task carries the header by which its queue shares capacity, beside its trace', async () => {
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
  assert.equal(await flowAfter('fair', { 'X-Tenant': 'acme', traceparent }), 'acme')
})

test('without the header, or with one that is not plain text, it names no flow', async () => {
  assert.equal(await flowAfter('fair', {}), '')
  assert.equal(await flowAfter('fair', { 'x-tenant': 'x'.repeat(257) }), '')
  assert.equal(await flowAfter('fair', { 'x-tenant': '\u00e9' }), '')
})

test('other queues do not carry it', async () => {
  assert.equal(await flowAfter('plain', { 'x-tenant': 'acme' }), '')
})
