import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
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
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { echo, folder, httpTarget, MIB, startBlobServer } from './support/blob-server.ts'
import { type FaultyBlobs, faultyBlobs } from './support/faulty-blobs.ts'
import { TaskClient } from './support/task-client.ts'

test('over gRPC as well: 12 MiB in, 12 MiB out, by a wait and by the id', async (t) => {
  const { call, tasks } = await rig(t)
  const payload = randomBytes(12 * MIB)
  const done = await call<SubmitRequest, SubmitResponse>(
    'Submit',
    create(SubmitRequestSchema, { queue: 'echo', payload, wait: { seconds: 20n } }),
  )
  assert.equal(done.result?.state, TaskState.SUCCEEDED)
  assert.equal(Buffer.compare(done.result!.payload, payload), 0)
  const read = await call<GetRequest, GetResponse>('Get', create(GetRequestSchema, { id: done.task!.id }))
  assert.equal(Buffer.compare(read.result!.payload, payload), 0)
  const waited = await tasks.submitAndWait({ submit: { queue: 'echo', payload } })
  assert.equal(Buffer.compare(waited.result!.payload, payload), 0)
  const watching = tasks.watch({ id: done.task!.id })
  assert.equal(await watching.ended, null)
  const { event } = watching.got.at(-1)!
  assert.ok(event.case === 'end')
  assert.equal(Buffer.compare(event.value.result!.payload, payload), 0)
})

test('an answer that cannot be fetched is no answer to a Submit, and an error to a Get', async (t) => {
  const { call, blobs, tasks } = await rig(t)
  const request: MessageInitShape<typeof SubmitRequestSchema> = {
    queue: 'echo',
    payload: randomBytes(2 * MIB),
    wait: { seconds: 20n },
    idempotencyKey: 'one',
  }
  const done = await call<SubmitRequest, SubmitResponse>('Submit', create(SubmitRequestSchema, request))
  blobs.down = true
  const again = await call<SubmitRequest, SubmitResponse>('Submit', create(SubmitRequestSchema, request))
  assert.deepEqual([again.task!.id, again.replayed, again.result], [done.task!.id, true, undefined])
  await assert.rejects(
    call<GetRequest, GetResponse>('Get', create(GetRequestSchema, { id: done.task!.id })),
    (error: { metadata: Metadata }) => error.metadata.get('forebay-error')[0] === 'BLOB_UNAVAILABLE',
  )
  const error = await tasks.watch({ id: done.task!.id }).ended
  assert.equal(
    error?.metadata.get('forebay-error')[0],
    'BLOB_UNAVAILABLE',
    'a watch can be resumed when it is there again',
  )
  await assert.rejects(tasks.submitAndWait({ submit: { ...request, wait: undefined } }), (refused: ServiceError) => {
    assert.deepEqual(refused.metadata.get('forebay-error'), ['BLOB_UNAVAILABLE'])
    assert.deepEqual(refused.metadata.get('forebay-task'), [done.task!.id])
    return true
  })
  blobs.down = false
  assert.equal(await tasks.watch({ id: done.task!.id }).ended, null)
})

async function rig(t: TestContext) {
  const target = await httpTarget(t, echo)
  let blobs: FaultyBlobs | null = null
  const server = await startBlobServer(t, {
    dir: folder(t),
    given: { queues: { echo: { target: target.url } } },
    wrap: (place) => {
      blobs = faultyBlobs(place)
      return blobs
    },
  })
  const client = new Client(server.grpc, credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 })
  t.after(() => client.close())
  const methods = grpcDefinition(TaskService)
  const call = <Request, Response>(name: string, request: Request): Promise<Response> => {
    const { path, requestSerialize, responseDeserialize } = methods[name]!
    const options = { deadline: Date.now() + 30_000 }
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest<Request, Response>(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new Metadata(),
        options,
        (error, response) => (error === null ? resolve(response!) : reject(error)),
      )
    })
  }
  return { call, tasks: new TaskClient(client), blobs: blobs! as FaultyBlobs }
}
