import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { ForebayError } from '@forebay/protocol'
import { status } from '@grpc/grpc-js'
import { statusOf } from '../src/accept/grpc-status.ts'
import { retryDelayMs } from '../src/execute/retry-info.ts'

test('the details hold the code, what it is about and when to ask again', () => {
  const error = new ForebayError('OVERLOADED', 'Too much.', { members: { limit: 5, task: 't-1' }, retryAfterS: 2.5 })
  const { code, details, metadata } = statusOf(error)
  assert.deepEqual([code, details], [status.RESOURCE_EXHAUSTED, 'Too much.'])
  const shown = detailsOf(metadata.get('grpc-status-details-bin')[0] as Buffer)
  assert.equal(shown.code, status.RESOURCE_EXHAUSTED)
  assert.equal(shown.message, 'Too much.')
  assert.deepEqual(shown.types, ['ErrorInfo', 'RetryInfo'])
  assert.ok(shown.text.includes('OVERLOADED') && shown.text.includes('forebay') && shown.text.includes('limit'))
  assert.equal(retryDelayMs(metadata.get('grpc-status-details-bin')[0] as Buffer), 2_500)
})

test('who names a field or a piece of metadata gets a violation of it; faults of a body each get one', () => {
  const types = (members: ForebayError['members']) =>
    detailsOf(detailBytes(new ForebayError('BAD_REQUEST', 'No.', { members }))).types
  assert.deepEqual(types({ field: 'delay' }), ['ErrorInfo', 'BadRequest'])
  assert.deepEqual(types({ header: 'traceparent' }), ['ErrorInfo', 'BadRequest'])
  assert.deepEqual(types({ faults: ['/a must be integer'] }), ['ErrorInfo', 'BadRequest'])
  assert.deepEqual(types({}), ['ErrorInfo'])
})

test('whatever an error says, its trailers stay small and are text', () => {
  const huge = `${'🙂'.repeat(50_000)}\r\n\0\ud800`
  const members = { field: huge, task: 't', queue: huge, faults: [huge, huge, huge, huge, huge] }
  const { details, metadata } = statusOf(new ForebayError('SCHEMA_MISMATCH', huge, { members }))
  assert.ok(Buffer.byteLength(encodeURI(details)) <= 3_000)
  assert.ok((metadata.get('grpc-status-details-bin')[0] as Buffer).length <= 3_500)
  const broken = statusOf(new ForebayError('WORKER_REFUSED', 'a\ud800b\nc', {})).details
  assert.equal(encodeURI(broken), encodeURI('a\ufffdb c'), 'grpc-js throws for half a character')
})

function detailBytes(error: ForebayError): Buffer {
  return statusOf(error).metadata.get('grpc-status-details-bin')[0] as Buffer
}

/** A google.rpc.Status, as far as the tests look; Python and Go read all of it in e2e/clients. */
function detailsOf(bytes: Uint8Array) {
  const reader = new BinaryReader(bytes)
  const types: string[] = []
  let code = 0
  let message = ''
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 1 && wireType === WireType.Varint) code = reader.int32()
    else if (field === 2) message = reader.string()
    else {
      const any = new BinaryReader(reader.bytes())
      assert.equal(any.tag()[0], 1)
      types.push(any.string().replace('type.googleapis.com/google.rpc.', ''))
    }
  }
  return { code, message, types, text: Buffer.from(bytes).toString('latin1') }
}
