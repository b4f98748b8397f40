import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GivenOptions } from '../src/options-schema.ts'
import { requireOptions, resolveOptions } from '../src/resolve-options.ts'

const context = { hostname: 'host-1', folderOf: () => '/srv' }
const placeOf = (given: GivenOptions) => requireOptions(given, context).blobs.place

test('blobs go into a folder of the data with the embedded broker, and nowhere with Kafka, unless somebody says so', () => {
  const kafka = { broker: 'kafka://k:9092' }
  assert.deepEqual(placeOf({}), { kind: 'folder', dir: '/srv/.forebay/blobs' })
  assert.equal(placeOf(kafka), null)
  assert.equal(placeOf({ blobs: { place: 'none' } }), null)
  assert.deepEqual(placeOf({ ...kafka, data: '/data', blobs: { place: 'folder' } }), {
    kind: 'folder',
    dir: '/data/blobs',
  })
  assert.deepEqual(placeOf({ ...kafka, blobs: { place: '/mnt/shared' } }), { kind: 'folder', dir: '/mnt/shared' })
  assert.deepEqual(placeOf({ blobs: { place: './b' } }), { kind: 'folder', dir: '/srv/b' })
  assert.deepEqual(placeOf({ blobs: { place: '../b' } }), { kind: 'folder', dir: '/b' })
})

test('an address of S3 names bucket, prefix, region and endpoint, and never a secret', () => {
  const aws = { kind: 's3', bucket: 'tasks', prefix: '', region: 'us-east-1', endpoint: null, credentials: null }
  assert.deepEqual(placeOf({ blobs: { place: 's3://tasks' } }), aws)
  assert.deepEqual(placeOf({ blobs: { place: 's3://tasks/' } }), aws)
  const whole = 's3://tasks/forebay/live?region=eu-central-1&endpoint=http://127.0.0.1:9000'
  const keys = { accessKeyId: 'AKIA', secretAccessKey: 'shh' }
  assert.deepEqual(placeOf({ blobs: { place: whole, ...keys } }), {
    ...aws,
    prefix: 'forebay/live/',
    region: 'eu-central-1',
    endpoint: 'http://127.0.0.1:9000',
    credentials: keys,
  })
})

test('what is no place, or half a key, is refused with what to write', () => {
  const wrong: readonly (readonly [GivenOptions['blobs'], string, RegExp])[] = [
    [{ place: 'blobs' }, 'blobs.place', /is no place for blobs/],
    [{ place: 'http://minio:9000/b' }, 'blobs.place', /is no place for blobs/],
    [{ place: 's3://' }, 'blobs.place', /not the name of a bucket/],
    [{ place: 's3://No_Bucket' }, 'blobs.place', /not the name of a bucket/],
    [{ place: 's3://key:secret@bucket' }, 'blobs.place', /holds a password/],
    [{ place: 's3://bucket?zone=a' }, 'blobs.place', /has no "zone"/],
    [{ place: 's3://bucket?endpoint=minio:9000' }, 'blobs.place', /not the address of a server/],
    [{ place: 's3://bucket', accessKeyId: 'AKIA' }, 'blobs.secretAccessKey', /two halves/],
    [{ place: 's3://bucket', secretAccessKey: 'shh' }, 'blobs.accessKeyId', /two halves/],
    [{ accessKeyId: 'AKIA', secretAccessKey: 'shh' }, 'blobs.accessKeyId', /Only a place in S3 has keys/],
    [{ above: '100B' }, 'blobs.above', /out of range|smaller|least/i],
  ]
  for (const [blobs, path, message] of wrong) {
    const resolution = resolveOptions({ blobs }, context)
    assert.ok(!resolution.ok)
    assert.deepEqual(
      resolution.faults.map((fault) => fault.path.join('.')),
      [path],
    )
    assert.match(resolution.faults[0]!.message, message)
    assert.doesNotMatch(JSON.stringify(resolution.faults), /secret@|"shh"/)
  }
})
