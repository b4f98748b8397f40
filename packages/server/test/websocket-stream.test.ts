import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ANONYMOUS } from '../src/accept/principal.ts'
import { outputRecord } from '../src/records.ts'
import type { ChunkContent, ProgressContent } from '../src/task.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'
import { openStream } from './support/websocket-client.ts'

const RUN = 'a'.repeat(16)
const DONE = { state: 'succeeded', payload: Buffer.from('{"done":true}'), contentType: 'application/json' } as const

test('a task is handed in and followed through chunks and progress to its result', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  client.say({ op: 'submit', ref: '1', queue: 'orders', body: { n: 1 }, key: 'k', watch: true })
  const accepted = await client.hear(({ event }) => event === 'accepted')
  const id = String(accepted.id)
  assert.equal(accepted.queue, 'orders')
  assert.deepEqual(accepted.links, { self: `/v1/tasks/${id}`, result: `/v1/tasks/${id}/result` })
  await client.hear(({ event }) => event === 'state')
  await speak(rig, id, 1, ['Hel', 'lo'])
  await speak(rig, id, 3, [], { kind: 'progress', fraction: 0.5, message: 'half' })
  await rig.end(id, DONE)
  const result = await client.hear(({ event }) => event === 'result')
  const told = client.under('1').slice(1)
  assert.deepEqual(
    told.map(({ event }) => event),
    ['state', 'chunk', 'chunk', 'progress', 'result'],
  )
  assert.deepEqual(
    told.filter(({ event }) => event === 'chunk').map(({ text, chunk }) => [chunk, text]),
    [
      [1, 'Hel'],
      [2, 'lo'],
    ],
  )
  assert.equal(told.find(({ event }) => event === 'progress')!.fraction, 0.5)
  assert.equal(result.position, 'end-0')
  assert.deepEqual(result.result, { contentType: 'application/json', text: '{"done":true}' })
  await client.close()
})

test('who comes back with a position is told what is behind it, and nothing after the end', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const first = await openStream(rig.url)
  first.say({ op: 'submit', ref: 'a', queue: 'orders', text: 'x', watch: true })
  const id = String((await first.hear(({ event }) => event === 'accepted')).id)
  await speak(rig, id, 1, ['one', 'two'])
  const seen = await first.hear(({ event, text }) => event === 'chunk' && text === 'one')
  first.socket.terminate()
  await speak(rig, id, 3, ['three'])
  const second = await openStream(rig.url)
  second.say({ op: 'watch', ref: 'b', id, after: seen.position })
  await second.hear(({ text }) => text === 'three')
  await rig.end(id, DONE)
  const end = await second.hear(({ event }) => event === 'result')
  assert.deepEqual(
    second.said.filter(({ event }) => event === 'chunk').map(({ text }) => text),
    ['two', 'three'],
  )
  second.say({ op: 'watch', ref: 'c', id, after: end.position })
  await second.hear(({ ref, event }) => ref === 'c' && event === 'over')
  second.say({ op: 'watch', ref: 'd', id })
  await second.hear(({ ref, event }) => ref === 'd' && event === 'result')
  second.say({ op: 'watch', ref: 'e', id, after: 'end-x' })
  const refused = await second.hear(({ ref }) => ref === 'e')
  assert.deepEqual(problemOf(refused), ['BAD_REQUEST', 'after'])
  await second.close()
})

test('a position holds at another gateway, and an end that came meanwhile is told there', async (t) => {
  const one = await openDoorsRig()
  t.after(() => one.stop())
  const other = await openDoorsRig({ shared: one })
  t.after(() => other.stop())
  const first = await openStream(one.url)
  first.say({ op: 'submit', ref: 'a', queue: 'orders', text: 'x', watch: true })
  const id = String((await first.hear(({ event }) => event === 'accepted')).id)
  await speak(one, id, 1, ['one', 'two'])
  const seen = await first.hear(({ text }) => text === 'one')
  await first.close()
  await speak(one, id, 3, ['three'])
  await one.end(id, DONE)
  const second = await openStream(other.url)
  second.say({ op: 'watch', ref: 'b', id, after: seen.position })
  const result = await second.hear(({ event }) => event === 'result')
  assert.deepEqual(
    second.said.map(({ event, text }) => text ?? event),
    ['two', 'three', 'result'],
  )
  assert.equal(result.position, 'end-0')
  await second.close()
})

test('a body arrives as it was written, whichever way it was sent', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  const raw = '{ "n": 12345678901234567890.10, "s": "a,}\\"\\\\" , "body": [1, {"x":"]"}] }'
  const messages = [
    `{"op":"submit","ref":"1","queue":"orders","body":"no, the last one counts","body":${raw}, "priority": 4}`,
    '{"op":"submit","queue":"orders","text":"grüß \\u20ac","ref":"2"}',
    '{"op":"submit","queue":"orders","base64":"AP8Q","contentType":"image/png","ref":"3"}',
    '{"op":"submit","queue":"orders","ref":"4"}',
    '{"op":"submit","queue":"orders","body":null,"ref":"5"}',
  ]
  for (const message of messages) client.say(message)
  const ids = new Map<string, string>()
  for (const ref of ['1', '2', '3', '4', '5']) {
    const said = await client.hear((one) => one.ref === ref)
    assert.equal(said.event, 'accepted', JSON.stringify(said))
    ids.set(String(said.id), ref)
  }
  const kept = new Map<string, readonly [string, string]>()
  for (const partition of [0, 1, 2, 3]) {
    const listener = await rig.broker.listen({ topic: 'forebay.tasks.orders', partition, from: 'earliest' })
    const [state] = (await rig.broker.inspect({ topics: ['forebay.tasks.orders'] })).filter(
      (one) => one.partition === partition,
    )
    if (state!.end > 0) {
      for await (const records of listener) {
        for (const { headers, value } of records) {
          const header = (name: string) => String(headers.find(([other]) => other === name)![1])
          kept.set(ids.get(header('ce_id'))!, [Buffer.from(value!).toString('latin1'), header('content-type')])
        }
        if (records.at(-1)!.offset === state!.end - 1) break
      }
    }
    await listener.close()
  }
  assert.deepEqual(kept.get('1'), [raw, 'application/json'])
  assert.deepEqual(kept.get('2'), [Buffer.from('grüß €').toString('latin1'), 'text/plain; charset=utf-8'])
  assert.deepEqual(kept.get('3'), ['\x00\xff\x10', 'image/png'])
  assert.deepEqual(kept.get('4'), ['', 'application/octet-stream'])
  assert.deepEqual(kept.get('5'), ['null', 'application/json'])
  await client.close()
})

test('the checks of the other doors hold here', async (t) => {
  const schema = { type: 'object', required: ['to'] }
  const queues = [queueOptions('orders'), queueOptions('mails', { schema, bodyBytesMax: 20 })]
  const rig = await openDoorsRig({ queues })
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  const cases: readonly (readonly [object, string, string | undefined])[] = [
    [{ queue: 'order' }, 'QUEUE_NOT_FOUND', undefined],
    [{ queue: 'mails', body: { from: 1 } }, 'SCHEMA_MISMATCH', undefined],
    [{ queue: 'mails', text: 'x'.repeat(21) }, 'TASK_TOO_LARGE', undefined],
    [{ queue: 'orders', text: 'x', body: 1 }, 'BAD_REQUEST', 'text'],
    [{ queue: 'orders', base64: 'x' }, 'BAD_REQUEST', 'base64'],
    [{ queue: 'orders', contentType: 'png' }, 'BAD_REQUEST', 'contentType'],
    [{ queue: 'orders', delay: 'soon' }, 'BAD_REQUEST', 'delay'],
    [{ queue: 'orders', delay: '400d' }, 'BAD_REQUEST', 'delay'],
    [{ queue: 'orders', deadline: '5s', delay: '10s' }, 'BAD_REQUEST', 'deadline'],
    [{ queue: 'orders', priority: 10 }, 'BAD_REQUEST', 'priority'],
    [{ queue: 'orders', key: '' }, 'BAD_REQUEST', undefined],
    [{ queue: 'orders', idempotencyKey: 'a b' }, 'BAD_HEADER', undefined],
    [{ queue: 'orders', prio: 1 }, 'BAD_REQUEST', 'prio'],
    [{ queue: 7 }, 'BAD_REQUEST', 'queue'],
  ]
  for (const [index, [fields, code, field]] of cases.entries()) {
    const ref = String(index)
    client.say({ op: 'submit', ref, ...fields })
    const said = await client.hear((one) => one.ref === ref)
    assert.equal(said.event, 'problem', JSON.stringify(fields))
    assert.deepEqual(problemOf(said), [code, field], JSON.stringify(fields))
  }
  assert.equal(await rig.kept('orders'), 0)
  client.say({ op: 'submit', ref: 'i1', queue: 'orders', text: 'x', idempotencyKey: 'once' })
  client.say({ op: 'submit', ref: 'i2', queue: 'orders', text: 'y', idempotencyKey: 'once' })
  await client.hear(({ ref, event }) => ref === 'i1' && event === 'accepted')
  const other = await client.hear(({ ref }) => ref === 'i2')
  assert.match(problemOf(other)[0]!, /IDEMPOTENCY_(MISMATCH|IN_FLIGHT)/)
  client.say({ op: 'submit', ref: 'i3', queue: 'orders', text: 'x', idempotencyKey: 'once' })
  const again = await client.hear(({ ref }) => ref === 'i3')
  assert.equal(again.replayed, true)
  assert.ok(again.idempotencyExpiresAt !== undefined)
  await client.close()
})

test('get, cancel, unwatch and ping answer under their refs', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  client.say({ op: 'ping', ref: 'p' })
  await client.hear(({ ref, event }) => ref === 'p' && event === 'pong')
  client.say({ op: 'submit', ref: '1', queue: 'orders', text: 'x', watch: true })
  const id = String((await client.hear(({ event }) => event === 'accepted')).id)
  client.say({ op: 'watch', ref: '1', id })
  assert.deepEqual(problemOf(await client.hear(({ event }) => event === 'problem')), ['BAD_REQUEST', 'ref'])
  client.say({ op: 'unwatch', ref: '1' })
  await client.hear(({ ref, event }) => ref === '1' && event === 'over')
  client.say({ op: 'get', ref: '2', id })
  assert.equal((await client.hear(({ ref }) => ref === '2')).state, 'pending')
  client.say({ op: 'cancel', ref: '1', id })
  const cancelled = await client.hear(({ ref, event }) => ref === '1' && event === 'task')
  assert.equal(cancelled.state, 'cancelled')
  assert.equal((cancelled.problem as { code: string }).code, 'TASK_CANCELLED')
  client.say({ op: 'submit', ref: '3', queue: 'orders', text: 'x' })
  const other = String((await client.hear(({ ref }) => ref === '3')).id)
  await rig.end(other, DONE)
  client.say({ op: 'watch', ref: '3', id: other })
  await client.hear(({ event }) => event === 'result')
  client.say({ op: 'get', ref: '4', id: other })
  const whole = await client.hear(({ ref }) => ref === '4')
  assert.deepEqual(whole.result, { contentType: 'application/json', text: '{"done":true}' })
  assert.equal(rig.doors.admission.bytes, 0)
  await client.close()
})

test('ids of others look like ids that never were, whatever is asked', async (t) => {
  const rig = await openDoorsRig({ auth: accessKeys({ alice: 'key-a', bob: 'key-b' }) })
  t.after(() => rig.stop())
  const alice = await openStream(rig.url, { key: 'key-a' })
  const bob = await openStream(rig.url, { key: 'key-b' })
  alice.say({ op: 'submit', ref: '1', queue: 'orders', text: 'secret' })
  const id = String((await alice.hear(({ event }) => event === 'accepted')).id)
  let next = 0
  for (const op of ['watch', 'get', 'cancel']) {
    const told: string[] = []
    for (const asked of [id, `${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`, 'nonsense']) {
      const ref = String(next++)
      bob.say({ op, ref, id: asked })
      const { ref: _ref, ...said } = await bob.hear((one) => one.ref === ref)
      told.push(JSON.stringify(said))
    }
    assert.match(told[0]!, /TASK_NOT_FOUND/)
    assert.equal(new Set(told).size, 1, op)
  }
  alice.say({ op: 'get', ref: '2', id })
  assert.equal((await alice.hear(({ ref }) => ref === '2')).state, 'pending')
  await Promise.all([alice.close(), bob.close()])
})

test('a thousand tasks go over one connection, each to its own result', async (t) => {
  const rig = await openDoorsRig()
  t.after(() => rig.stop())
  const client = await openStream(rig.url)
  const COUNT = 1_000
  const open = new Set<string>()
  const results = new Map<string, string>()
  let sent = 0
  const sendSome = () => {
    while (sent < COUNT && open.size < 200) {
      const ref = `r${sent++}`
      open.add(ref)
      client.say({ op: 'submit', ref, queue: 'orders', text: ref, watch: true })
    }
  }
  sendSome()
  for (let at = 0; results.size < COUNT; at++) {
    const said = at < client.said.length ? client.said[at]! : await client.hear((one) => one === client.said[at])
    assert.notEqual(said.event, 'problem', JSON.stringify(said))
    if (said.event === 'accepted') {
      const payload = Buffer.from(String(said.ref))
      void rig.end(String(said.id), { state: 'succeeded', payload, contentType: 'text/plain' })
    } else if (said.event === 'result') {
      results.set(said.ref!, (said.result as { text: string }).text)
      open.delete(said.ref!)
      sendSome()
    }
  }
  for (const [ref, text] of results) assert.equal(text, ref)
  assert.equal((await rig.telemetry.metrics.watchers.get()).values[0]!.value, 0)
  assert.equal(rig.doors.admission.bytes, 0)
  await client.close()
})

function problemOf(said: { readonly [member: string]: unknown }): readonly (string | undefined)[] {
  const { code, field } = said.problem as { code: string; field?: string }
  return [code, field]
}

/** Says chunks, the first of them number `from`, as a worker's attempt would; or `other`, after `from - 1` chunks. */
async function speak(
  rig: DoorsRig,
  taskId: string,
  from: number,
  texts: readonly string[],
  other?: ChunkContent | ProgressContent,
): Promise<void> {
  const about = { taskId, queue: 'orders', owner: ANONYMOUS, attempts: 1, generation: 0, run: RUN, atMs: Date.now() }
  const chunks = texts.map((text, index) => {
    const content = { kind: 'chunk', payload: Buffer.from(text), contentType: 'text/plain' } as const
    return { ...about, first: from + index === 1, chunks: from + index, content }
  })
  const outputs =
    other === undefined ? chunks : [...chunks, { ...about, first: from === 1, chunks: from - 1, content: other }]
  await rig.broker.publish(outputs.map((output) => outputRecord(output, rig.replies.lane)))
}
