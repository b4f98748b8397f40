import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bodyCheck, FAULTS_MAX } from '../src/accept/body-schema.ts'
import { parseJson } from '../src/accept/json-body.ts'
import { taskTopic } from '../src/topics.ts'
import { openDoorsRig, queueOptions } from './support/doors-rig.ts'

const schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  required: ['id', 'email'],
  additionalProperties: false,
  properties: {
    id: { type: 'integer', minimum: 1 },
    email: { type: 'string', format: 'email' },
    size: { enum: ['s', 'm'] },
    lines: { type: 'array', prefixItems: [{ type: 'string' }], items: { type: 'number' } },
  },
}

test('a queue with a schema keeps what meets it, byte for byte, and refuses the rest by pointer, rule and value', async () => {
  const rig = await openDoorsRig({ queues: [queueOptions('orders', { schema, partitions: 1 })] })
  const post = (body: string | Uint8Array<ArrayBuffer>) =>
    fetch(`${rig.url}/v1/queues/orders/tasks`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    })
  const good = '{ "id": 1.0,\n "email":"a@example.org" , "lines": ["x", 1e2]}'
  assert.equal((await post(good)).status, 202)
  const listener = await rig.broker.listen({ topic: taskTopic('orders'), partition: 0, from: 'earliest' })
  for await (const [record] of listener) {
    assert.equal(Buffer.from(record!.value!).toString(), good)
    break
  }
  await listener.close()

  const wrong = await post(`{"id":0,"email":"${'x'.repeat(500)}","size":"xl","lines":[1],"more":true}`)
  assert.equal(wrong.status, 422)
  const problem = (await wrong.json()) as { code: string; detail: string; faults: string[] }
  assert.equal(problem.code, 'SCHEMA_MISMATCH')
  assert.equal(problem.faults.length, 5)
  for (const said of [
    '/id must be >= 1 [minimum], got 0',
    '/size must be',
    '["s","m"]',
    '/lines/0 must be string',
    '"more"',
  ]) {
    assert.ok(problem.detail.includes(said), `${said} is missing in: ${problem.detail}`)
  }
  assert.ok(problem.detail.length < 1_000, 'values are cut')

  for (const [body, position] of [
    ['{"id":1,}', 8],
    ['{"id":1', 7],
    ['', 0],
    ['nope', 0],
    ['{"id":01}', 7],
    ['[1,2] x', 6],
    ['{"a":"b\nc"}', 7],
    ['{"a" 1}', 5],
    ['\ufeff{}', 0],
    ['{"a":NaN}', 5],
    ['// c', 0],
    ['"\\x"', 1],
  ] as const) {
    const response = await post(body)
    const malformed = (await response.json()) as { code: string; position: number }
    assert.equal(response.status, 400, body)
    assert.equal(malformed.code, 'MALFORMED_JSON')
    assert.equal(malformed.position, position, JSON.stringify(body))
  }
  assert.equal((await post(Buffer.from([0x22, 0xc3, 0x28, 0x22]))).status, 400, 'not UTF-8')
  assert.equal(await rig.kept('orders'), 1)
  await rig.stop()
})

test('the place of a fault agrees with the engine for any damaged JSON', () => {
  const damaged = fc
    .tuple(fc.json({ maxDepth: 4 }), fc.nat(), fc.constantFrom('', '}', ',', '"', 'x', '\\', '\u0001', ':', '0'))
    .map(([text, at, put]) => {
      const place = at % (text.length + 1)
      return text.slice(0, place) + put + text.slice(place + 1)
    })
  fc.assert(
    fc.property(damaged, (text) => {
      let fault: { position?: number } | null = null
      try {
        parseJson(Buffer.from(text))
      } catch (thrown) {
        fault = (thrown as { members: { position?: number } }).members
      }
      if (!isJson(text)) {
        const position = fault?.position
        assert.ok(position !== undefined && position <= text.length)
        // Of a broken word, number or escape we name the beginning, the engine the place where it breaks.
        const said = engineFaultAt(text)
        if (said !== null) {
          const between = text.slice(position, said)
          assert.ok(position <= said && /^\\?[\w.+-]*$/.test(between), `${position}, not ${said}: ${text}`)
        }
      } else assert.equal(fault, null)
    }),
    { numRuns: 2_000 },
  )
})

test('many faults are cut to ten, and all of a nested body is bounded', () => {
  const check = bodyCheck('q', { type: 'array', items: { type: 'string' } })
  assert.throws(
    () => check(Array.from({ length: 1_000 }, (_, index) => index)),
    (thrown: { members: { faults: string[] }; message: string }) =>
      thrown.members.faults.length === FAULTS_MAX && thrown.message.includes('990 more'),
  )
  const nested = bodyCheck('q', {
    $defs: { node: { type: 'array', items: { $ref: '#/$defs/node' } } },
    $ref: '#/$defs/node',
  })
  const deep = JSON.parse('['.repeat(200_000) + ']'.repeat(200_000)) as unknown
  assert.throws(() => nested(deep), { code: 'SCHEMA_MISMATCH' })
})

test('a schema that is none is a fault of the configuration', () => {
  assert.throws(() => bodyCheck('orders', { type: 'strnig' }), {
    code: 'CONFIG_INVALID',
    message: /queues\.orders\.schema/,
  })
  assert.throws(() => bodyCheck('orders', { $ref: '#/nowhere' }), { code: 'CONFIG_INVALID' })
})

test('members named like prototypes are plain members', () => {
  const check = bodyCheck('q', { type: 'object', additionalProperties: false, properties: { a: {} } })
  assert.throws(() => check(JSON.parse('{"__proto__":{"admin":true}}')), { code: 'SCHEMA_MISMATCH' })
  assert.throws(() => check(JSON.parse('{"constructor":1}')), { code: 'SCHEMA_MISMATCH' })
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** What V8's message says of the place, where it does. */
function engineFaultAt(text: string): number | null {
  try {
    JSON.parse(text)
  } catch (thrown) {
    const { message } = thrown as Error
    if (message.startsWith('Unexpected end')) return text.length
    const position = /at position (\d+)/.exec(message)?.[1]
    return position === undefined ? null : Number(position)
  }
  return null
}
