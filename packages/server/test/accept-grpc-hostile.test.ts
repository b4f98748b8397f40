import assert from 'node:assert/strict'
import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { create, toBinary } from '@bufbuild/protobuf'
import { SubmitRequestSchema, SubmitResponseSchema } from '@forebay/protocol'
import { status } from '@grpc/grpc-js'
import { letLongTimeoutsPass } from '../src/accept/grpc-timeouts.ts'
import { type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'
import { serveTasks, type TaskServer } from './support/task-client.ts'

let rig: DoorsRig
let tasks: TaskServer
before(async () => {
  rig = await openDoorsRig({ queues: [queueOptions('orders', { partitions: 1 })] })
  tasks = await serveTasks(rig.doors.grpc)
  letLongTimeoutsPass(tasks.server)
})
after(async () => {
  tasks.close()
  await rig.stop()
})

const good = Buffer.from(toBinary(SubmitRequestSchema, create(SubmitRequestSchema, { queue: 'orders' })))
const METHODS = ['Submit', 'SubmitAndWait', 'SubmitStream', 'Get', 'Watch', 'Cancel'] as const

const malformed: [name: string, bytes: Buffer][] = [
  ['a varint that is cut off', Buffer.from([0x08, 0x80])],
  ['a varint of eleven bytes', Buffer.from([0x08, ...Array(11).fill(0xff)])],
  ['a length beyond the message', Buffer.from([0x0a, 0x7f, 0x61])],
  ['a length of nearly 4 GiB', Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])],
  ['field number 0', Buffer.from([0x00, 0x00])],
  ['wire type 7', Buffer.from([0x0f])],
  ['the end of a group that never began', Buffer.from([0x0c])],
  ['groups 10,000 deep', Buffer.alloc(10_000, 0x7b)],
  ['text that is not UTF-8', Buffer.from([0x0a, 0x02, 0xc3, 0x28])],
  ['overlong UTF-8', Buffer.from([0x0a, 0x02, 0xc0, 0xaf])],
]

for (const [name, bytes] of malformed) {
  test(`${name} is INVALID_ARGUMENT by every method`, async () => {
    for (const method of METHODS) {
      // SubmitStreamRequest has its text one message deeper.
      const inner = bytes.length < 100 && method.startsWith('Submit') && method !== 'Submit'
      const field = method === 'SubmitStream' ? 0x12 : 0x0a
      const sent = inner ? Buffer.concat([Buffer.from([field, bytes.length]), bytes]) : bytes
      const { code, error } = await call(method, frame(sent))
      assert.deepEqual([code, error], [status.INVALID_ARGUMENT, 'BAD_REQUEST'], method)
    }
    await alive()
  })
}

test('fields that nobody knows, and one that comes a million times, do no harm', async () => {
  const unknown = Buffer.from([0xfa, 0x3f, 0x01, 0x61])
  assert.equal((await call('Submit', frame(Buffer.concat([unknown, good, unknown])))).code, status.OK)
  const twice = Buffer.concat([Buffer.concat(Array(500_000).fill(Buffer.from([0x0a, 0x01, 0x61]))), good])
  assert.equal((await call('Submit', frame(twice))).code, status.OK, 'the last one counts')
  const before = process.memoryUsage().rss
  assert.equal(
    (await call('Submit', frame(Buffer.concat([Buffer.concat(Array(1_000_000).fill(unknown)), good])))).code,
    0,
  )
  assert.ok(process.memoryUsage().rss - before < 200 * 1024 * 1024, 'nothing is kept of them')
})

test('what is compressed in no way, or badly, is refused', async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
  const cases: [string, Buffer, OutgoingHttpHeaders, number[]][] = [
    ['flag without encoding', frame(good, 1), {}, [status.OK, status.INTERNAL]],
    ['unknown encoding', frame(good, 1), { 'grpc-encoding': 'br' }, [status.UNIMPLEMENTED]],
    ['corrupt gzip', frame(good, 1), { 'grpc-encoding': 'gzip' }, [status.INTERNAL]],
    ['truncated gzip', frame(gzipSync(good).subarray(0, 12), 1), { 'grpc-encoding': 'gzip' }, [status.INTERNAL]],
    ['a bomb', frame(bomb, 1), { 'grpc-encoding': 'gzip' }, [status.RESOURCE_EXHAUSTED]],
    ['gzip as it should be', frame(gzipSync(good), 1), { 'grpc-encoding': 'gzip' }, [status.OK]],
  ]
  for (const [name, body, headers, codes] of cases) {
    const { code } = await call('Submit', body, headers)
    assert.ok(codes.includes(code as number), `${name}: ${code}`)
    await alive()
  }
})

test('a message beyond the limit is refused before it is read', async () => {
  const announced = Buffer.concat([Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), Buffer.alloc(1_000)])
  assert.equal((await call('Submit', announced)).code, status.RESOURCE_EXHAUSTED)
  await alive()
})

test('a timeout of years is no timeout of an instant', async () => {
  for (const timeout of ['99999999H', '2562047H', '720H', '9223372036S', '99999999M', '99999999S', '876000H']) {
    const { code } = await call('Submit', frame(good), { 'grpc-timeout': timeout })
    assert.equal(code, status.OK, timeout)
  }
  for (const timeout of ['abc', '1', '1x']) {
    assert.equal((await call('Submit', frame(good), { 'grpc-timeout': timeout })).code, status.INTERNAL, timeout)
  }
  for (const timeout of ['0n', '1n']) {
    const { code } = await call('SubmitAndWait', frame(wrapped(good)), { 'grpc-timeout': timeout })
    assert.equal(code, status.DEADLINE_EXCEEDED, timeout)
  }
  await alive()
})

test('odd metadata is refused or passed over', async () => {
  const cases: OutgoingHttpHeaders[] = [
    { 'x-much': 'y'.repeat(60_000) },
    Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`x-${index}`, 'y'])),
    { 'x-thing-bin': '!!! not base64 !!!' },
    { 'grpc-mine': 'x' },
    { traceparent: ['00-1', '00-2'] },
    { 'x-twice': ['a', 'b'] },
    { 'content-type': 'text/plain' },
  ]
  for (const headers of cases) {
    await call('Submit', frame(good), headers).catch(() => {})
    await alive()
  }
  const twice = await call('Submit', frame(good), { traceparent: ['00-1', '00-2'] })
  assert.ok(twice.code === status.OK || twice.error === 'BAD_HEADER', `${twice.code}`)
})

test('methods that are none, half a message and no message at all', async () => {
  assert.equal((await call('Submmit', frame(good))).code, status.UNIMPLEMENTED)
  assert.notEqual((await call('Submit', frame(good).subarray(0, 7))).code, status.OK)
  assert.notEqual((await call('Submit', Buffer.alloc(0))).code, status.OK)
  assert.notEqual((await call('Submit', Buffer.concat([frame(good), frame(good)]))).code, undefined)
  await alive()
})

/** The server answers as it should after all that. */
async function alive(): Promise<void> {
  const { code, message } = await call('Submit', frame(good))
  assert.equal(code, status.OK)
  assert.ok(message!.includes(Buffer.from('orders')), SubmitResponseSchema.typeName)
}

function frame(message: Buffer, compressed = 0): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt8(compressed)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

function wrapped(submit: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x0a, submit.length]), submit])
}

interface Answer {
  readonly code: number | undefined
  /** `forebay-error`. */
  readonly error: string | undefined
  readonly message: Buffer | null
}

/** A call as bytes, on a connection of its own: no client library stands between. */
async function call(method: string, body: Buffer, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
  const session: ClientHttp2Session = connect(`http://127.0.0.1:${tasks.port}`)
  session.on('error', () => {})
  try {
    return await new Promise<Answer>((resolve, reject) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': `/forebay.task.v1.TaskService/${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      })
      let got: IncomingHttpHeaders = {}
      const parts: Buffer[] = []
      stream.on('response', (heard) => Object.assign(got, heard))
      stream.on('trailers', (heard) => {
        got = { ...got, ...heard }
      })
      stream.on('data', (part: Buffer) => parts.push(part))
      stream.on('error', reject)
      stream.on('close', () => {
        const code = got['grpc-status'] === undefined ? undefined : Number(got['grpc-status'])
        const message = parts.length === 0 ? null : Buffer.concat(parts)
        resolve({ code, error: got['forebay-error'] as string | undefined, message })
      })
      stream.end(body)
    })
  } finally {
    session.destroy()
  }
}
