import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { systemClock } from '@forebay/broker'
import type { ForebayError } from '@forebay/protocol'
import { hasMoto, type MotoOptions, startMoto } from '../../../scripts/rig/moto.ts'
import { freePort } from '../../../scripts/rig/process.ts'
import type { S3BlobsOptions } from '../src/blobs/s3/options.ts'
import { s3Blobs } from '../src/blobs/s3/s3.ts'
import { BUCKET, CREDENTIALS, REGION } from './blobs-s3-connect.ts'
import { testBucket } from './support/s3-bucket.ts'

const UNAVAILABLE = { code: 'BLOB_UNAVAILABLE' }

describe('S3 in trouble', { skip: (await hasMoto()) ? false : 'python3-venv is not installed' }, () => {
  test('a server that is gone makes calls fail in time, and the same store works when it is back', async () => {
    const first = await motoWithBucket()
    const blobs = blobsAt(first.endpoint)
    await blobs.open()
    const ref = await blobs.put(Buffer.from('before'))
    await first.stop()
    const beganMs = systemClock.monotonicMs()
    await assert.rejects(blobs.put(Buffer.from('during')), UNAVAILABLE)
    await assert.rejects(blobs.get(ref), UNAVAILABLE)
    await assert.rejects(blobs.pin(ref, 'letter'), UNAVAILABLE)
    await assert.rejects(blobs.sweep(), UNAVAILABLE)
    assert.ok(systemClock.monotonicMs() - beganMs < 10_000)
    await using second = await motoWithBucket({ port: first.port })
    const after = await blobs.put(Buffer.from('after'))
    assert.equal(Buffer.from(await blobs.get(after)).toString(), 'after')
    // Its data was in memory.
    await assert.rejects(blobs.get(ref), { code: 'BLOB_MISSING' })
    await blobs.close()
    await second.stop()
  })

  test('a server that takes connections and says nothing is given up in time, and not taken for an empty one', async () => {
    await using moto = await motoWithBucket()
    const blobs = blobsAt(moto.endpoint, { timeoutMs: 700 })
    await blobs.open()
    const ref = await blobs.put(Buffer.from('kept'))
    moto.signal('SIGSTOP')
    const beganMs = systemClock.monotonicMs()
    const [put, get] = await Promise.allSettled([blobs.put(Buffer.alloc(2_000_000)), blobs.get(ref)])
    moto.signal('SIGCONT')
    for (const one of [put, get]) {
      assert.equal(one.status, 'rejected')
      assert.equal((one.reason as ForebayError).code, 'BLOB_UNAVAILABLE')
      assert.match(String(((one.reason as ForebayError).cause as Error).message), /no answer within 700 ms/)
    }
    assert.ok(systemClock.monotonicMs() - beganMs < 5_000)
    assert.equal(Buffer.from(await blobs.get(ref)).toString(), 'kept')
    await blobs.close()
  })

  test('a bucket that is not there, and credentials that it refuses, are faults of the configuration', async () => {
    await using moto = await motoWithBucket({ uncheckedRequests: 1 })
    const strange = blobsAt(moto.endpoint)
    await assert.rejects(strange.open(), { code: 'CONFIG_INVALID', message: /refuses our credentials \(403\)/ })
    await using open = await motoWithBucket()
    const lost = blobsAt(open.endpoint, { bucket: 'no-such-bucket' })
    await assert.rejects(lost.open(), { code: 'CONFIG_INVALID', message: /there is no bucket no-such-bucket/ })
    await Promise.all([strange.close(), lost.close()])
  })

  test('credentials that are taken away while it runs make blobs unavailable, never missing', async () => {
    const first = await motoWithBucket()
    const blobs = blobsAt(first.endpoint)
    await blobs.open()
    const ref = await blobs.put(Buffer.from('mine'))
    await first.stop()
    await using second = await motoWithBucket({ port: first.port, uncheckedRequests: 1 })
    await assert.rejects(blobs.get(ref), (error: ForebayError) => {
      assert.equal(error.code, 'BLOB_UNAVAILABLE')
      assert.doesNotMatch(error.message, /127\.0\.0\.1|InvalidAccessKeyId/, 'callers see nothing of the place')
      assert.match((error.cause as Error).message, /InvalidAccessKeyId/)
      return true
    })
    await assert.rejects(blobs.put(Buffer.from('more')), UNAVAILABLE)
    await blobs.close()
    await second.stop()
  })

  test('a bucket that vanishes while it runs makes blobs unavailable, never missing', async () => {
    const first = await motoWithBucket()
    const blobs = blobsAt(first.endpoint)
    await blobs.open()
    const ref = await blobs.put(Buffer.from('mine'))
    await first.stop()
    await using second = await startMoto({ port: first.port })
    await assert.rejects(blobs.get(ref), UNAVAILABLE)
    await assert.rejects(blobs.pin(ref, 'letter'), UNAVAILABLE)
    await blobs.close()
    await second.stop()
  })

  test('a server that cannot be reached at the start does not keep the store from opening', async () => {
    const port = await freePort()
    const blobs = blobsAt(`http://127.0.0.1:${port}`)
    await assert.rejects(blobs.open(), UNAVAILABLE)
    await using moto = await motoWithBucket({ port })
    const ref = await blobs.put(Buffer.from('late'))
    assert.equal(Buffer.from(await blobs.get(ref)).toString(), 'late')
    await blobs.close()
    await moto.stop()
  })
})

function blobsAt(endpoint: string, other: Partial<S3BlobsOptions> = {}) {
  const place = { bucket: BUCKET, prefix: 'test/', region: REGION, endpoint, credentials: CREDENTIALS }
  return s3Blobs({ ...place, keepMs: 3_600_000, ...other })
}

async function motoWithBucket(options: MotoOptions = {}) {
  const moto = await startMoto(options)
  const bucket = testBucket(moto.endpoint)
  await bucket.make()
  bucket.close()
  return moto
}
