import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { timestampMs } from '@bufbuild/protobuf/wkt'
import {
  type GetRequest,
  GetRequestSchema,
  type GetResponse,
  grpcDefinition,
  type SubmitRequest,
  SubmitRequestSchema,
  type SubmitResponse,
  TaskService,
  TaskState,
} from '@forebay/protocol'
import { Client, credentials, Metadata, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js'
import { addGrpcServices, type GrpcServices } from '../src/accept/grpc-services.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'

let rig: DoorsRig
let server: Server
let services: GrpcServices
let client: Client
before(async () => {
  rig = await openDoorsRig({
    auth: accessKeys({ ann: 'a', bob: 'b' }),
    queues: [queueOptions('orders', { partitions: 1, bodyBytesMax: 10_000, schema: { type: 'object' } })],
  })
  server = new Server()
  server.addService(rig.doors.grpc.definition, rig.doors.grpc.handlers)
  services = addGrpcServices(server, [TaskService])
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
})
after(async () => {
  client.close()
  server.forceShutdown()
  await rig.stop()
})

const payload = Buffer.from('{"a":1}')

test('a task handed in by gRPC is read by HTTP, and the other way round', async () => {
  const { task } = await submit({ queue: 'orders', payload })
  assert.equal(task!.state, TaskState.PENDING)
  const http = await fetch(`${rig.url}/v1/tasks/${task!.id}`, { headers: { authorization: 'Bearer a' } })
  assert.equal(((await http.json()) as { state: string }).state, 'pending')
  const kept = await fetch(`${rig.url}/v1/queues/orders/tasks`, {
    method: 'POST',
    body: payload,
    headers: { authorization: 'Bearer a' },
  })
  const { id } = (await kept.json()) as { id: string }
  assert.equal((await get({ id })).task!.id, id)
})

test('a caller who waits gets the result, and later readers the same', async () => {
  const listener = await rig.broker.listen({ topic: 'forebay.tasks.orders', partition: 0, from: 'latest' })
  const waiting = submit({ queue: 'orders', payload, wait: { seconds: 10n } })
  for await (const [record] of listener) {
    const [, id] = record!.headers.find(([name]) => name === 'ce_id')!
    const end = { state: 'succeeded', payload: Buffer.from('done'), contentType: 'text/plain' } as const
    await rig.end(Buffer.from(id).toString(), end, { owner: 'ann' })
    break
  }
  await listener.close()
  const { task, result } = await waiting
  assert.equal(task!.state, TaskState.SUCCEEDED)
  assert.equal(Buffer.from(result!.payload).toString(), 'done')
  assert.equal(result!.contentType, 'text/plain')
  const read = await get({ id: task!.id, wait: { seconds: 1n } })
  assert.deepEqual(read.result, result)
})

test('the deadline of the call ends the wait in time for an answer', async () => {
  const { task } = await submit({ queue: 'orders', payload, wait: { seconds: 30n } }, 'a', 2_000)
  assert.equal(task!.state, TaskState.PENDING)
  const read = await get({ id: task!.id, wait: { seconds: 30n } }, 'a', 2_000)
  assert.equal(read.task!.state, TaskState.PENDING)
})

test('an idempotency key means the same at both doors', async () => {
  const first = await submit({ queue: 'orders', payload, idempotencyKey: 'k', contentType: 'application/json' })
  const second = await submit({ queue: 'orders', payload, idempotencyKey: 'k', contentType: 'application/json' })
  assert.equal(second.replayed, true)
  const keptMs = timestampMs(first.idempotencyExpiresAt!) - timestampMs(first.task!.acceptedAt!)
  assert.equal(keptMs, 3_600_000, "the queue's window")
  assert.deepEqual(second.idempotencyExpiresAt, first.idempotencyExpiresAt)
  assert.equal((await submit({ queue: 'orders', payload })).idempotencyExpiresAt, undefined)
  assert.equal(second.task!.id, first.task!.id)
  const http = await fetch(`${rig.url}/v1/queues/orders/tasks`, {
    method: 'POST',
    body: payload,
    headers: { authorization: 'Bearer a', 'idempotency-key': 'k', 'content-type': 'application/json' },
  })
  assert.equal(http.headers.get('location'), `/v1/tasks/${first.task!.id}`)
})

const refused: [name: string, request: MessageInitShape<typeof SubmitRequestSchema>, code: string, grpc: status][] = [
  ['an unknown queue', { queue: 'ordres', payload }, 'QUEUE_NOT_FOUND', status.NOT_FOUND],
  [
    'too large a body',
    { queue: 'orders', payload: new Uint8Array(10_001) },
    'TASK_TOO_LARGE',
    status.RESOURCE_EXHAUSTED,
  ],
  ['no JSON', { queue: 'orders', payload: Buffer.from('{') }, 'MALFORMED_JSON', status.INVALID_ARGUMENT],
  ['another shape', { queue: 'orders', payload: Buffer.from('[]') }, 'SCHEMA_MISMATCH', status.INVALID_ARGUMENT],
  [
    'a header in the content type',
    { queue: 'orders', payload, contentType: 'a/b\r\nx: 1' },
    'BAD_REQUEST',
    status.INVALID_ARGUMENT,
  ],
  ['a newline in the key', { queue: 'orders', payload, key: 'a\nb' }, 'BAD_REQUEST', status.INVALID_ARGUMENT],
  ['an empty idempotency key', { queue: 'orders', payload, idempotencyKey: '' }, 'BAD_HEADER', status.INVALID_ARGUMENT],
  [
    'a callback where none are kept',
    { queue: 'orders', payload, callback: 'https://example.com/done' },
    'CALLBACK_UNAVAILABLE',
    status.UNIMPLEMENTED,
  ],
  ['a negative wait', { queue: 'orders', payload, wait: { seconds: -1n } }, 'BAD_REQUEST', status.INVALID_ARGUMENT],
  [
    'a deadline past retention',
    { queue: 'orders', payload, deadline: { seconds: 10n ** 9n } },
    'BAD_REQUEST',
    status.INVALID_ARGUMENT,
  ],
]

for (const [name, request, code, grpc] of refused) {
  test(`${name} is refused with ${code}`, async () => {
    const kept = await rig.kept('orders')
    await assert.rejects(submit(request), (error: ServiceError) => {
      assert.equal(error.code, grpc)
      assert.deepEqual(error.metadata.get('forebay-error'), [code])
      return true
    })
    assert.equal(await rig.kept('orders'), kept)
  })
}

test('only the owner reads, and a stranger is nobody', async () => {
  const { task } = await submit({ queue: 'orders', payload })
  const details = new Set<string>()
  for (const [id, key] of [
    [task!.id, 'b'],
    [`${task!.id.slice(0, -1)}!`, 'a'],
    ['', 'a'],
  ] as const) {
    await assert.rejects(get({ id }, key), (error: ServiceError) => {
      details.add(error.details)
      return error.code === status.NOT_FOUND && error.metadata.get('forebay-error')[0] === 'TASK_NOT_FOUND'
    })
  }
  assert.equal(details.size, 1)
  await assert.rejects(submit({ queue: 'orders', payload }, 'c'), { code: status.UNAUTHENTICATED })
  await assert.rejects(submit({ queue: 'orders', payload }, ''), { code: status.UNAUTHENTICATED })
})

test('health and reflection answer to clients that know nothing of us', async () => {
  const health = await raw('/grpc.health.v1.Health/Check', Buffer.alloc(0))
  assert.deepEqual(health, Buffer.from([0x08, 0x01]), 'SERVING')
  const stream = client.makeBidiStreamRequest<Buffer, Buffer>(
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    (bytes) => bytes,
    (bytes) => bytes,
  )
  const symbol = 'forebay.task.v1.TaskService'
  stream.write(Buffer.concat([Buffer.from([0x22, symbol.length]), Buffer.from(symbol)]))
  const found = await new Promise<Buffer>((resolve, reject) => stream.on('data', resolve).on('error', reject))
  stream.end()
  for (const { name } of TaskService.methods) assert.ok(found.includes(name), `the descriptors of the file: ${name}`)
  assert.ok(found.includes('google/protobuf/duration.proto'), 'and of what it imports')
})

test('a stop lets those who wait go and refuses what is new', async () => {
  const waiting = submit({ queue: 'orders', payload, wait: { seconds: 30n } })
  while ((await rig.telemetry.metrics.waiters.get()).values[0]!.value !== 1)
    await new Promise((resolve) => setTimeout(resolve, 2))
  rig.doors.grpc.stop()
  assert.equal((await waiting).task!.state, TaskState.PENDING)
  await assert.rejects(submit({ queue: 'orders', payload }), (error: ServiceError) => {
    assert.deepEqual(error.metadata.get('forebay-error'), ['STOPPING'])
    return error.code === status.UNAVAILABLE
  })
})

test('who follows the health of the service is told that it stops, and let go', async () => {
  const watching = [TaskService.typeName, '', 'nobody.Knows'].map(healthOf)
  const first = await Promise.all(watching.map((one) => one.first))
  assert.deepEqual(first, [SERVING, SERVING, SERVICE_UNKNOWN])
  services.stop()
  const ended = await Promise.all(watching.map((one) => one.ended))
  assert.deepEqual(
    ended.map(({ code, last }) => [code, last]),
    [
      [status.UNAVAILABLE, NOT_SERVING],
      [status.UNAVAILABLE, NOT_SERVING],
      [status.UNAVAILABLE, SERVICE_UNKNOWN],
    ],
  )
  assert.deepEqual(await raw('/grpc.health.v1.Health/Check', Buffer.alloc(0)), Buffer.from([0x08, NOT_SERVING]))
})

/** grpc.health.v1.HealthCheckResponse.ServingStatus */
const SERVING = 1
const NOT_SERVING = 2
const SERVICE_UNKNOWN = 3

function healthOf(service: string) {
  const same = (bytes: Buffer) => bytes
  const request = Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)])
  const stream = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', same, same, request)
  let last = 0
  stream.on('data', (bytes: Buffer) => {
    last = bytes[1]!
  })
  const first = new Promise<number>((resolve) => stream.once('data', (bytes: Buffer) => resolve(bytes[1]!)))
  const ended = new Promise<{ code: status; last: number }>((resolve) =>
    stream.on('error', ({ code }: ServiceError) => resolve({ code, last })),
  )
  return { first, ended }
}

const methods = grpcDefinition(TaskService)

function submit(
  request: MessageInitShape<typeof SubmitRequestSchema>,
  key = 'a',
  withinMs = 10_000,
): Promise<SubmitResponse> {
  return call<SubmitRequest, SubmitResponse>('Submit', create(SubmitRequestSchema, request), key, withinMs)
}

function get(request: MessageInitShape<typeof GetRequestSchema>, key = 'a', withinMs = 10_000): Promise<GetResponse> {
  return call<GetRequest, GetResponse>('Get', create(GetRequestSchema, request), key, withinMs)
}

function call<Request, Response>(name: string, request: Request, key: string, withinMs: number): Promise<Response> {
  const { path, requestSerialize, responseDeserialize } = methods[name]!
  const metadata = new Metadata()
  if (key !== '') metadata.set('authorization', `Bearer ${key}`)
  const options = { deadline: Date.now() + withinMs }
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest<Request, Response>(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      options,
      (error, response) => (error === null ? resolve(response!) : reject(error)),
    )
  })
}

function raw(path: string, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const same = (bytes: Buffer) => bytes
    client.makeUnaryRequest(path, same, same, request, (error, response) =>
      error === null ? resolve(response!) : reject(error),
    )
  })
}
