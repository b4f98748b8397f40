import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { hasMoto, startMoto } from '../../../scripts/rig/moto.ts'
import { BUCKET, CREDENTIALS, REGION } from './blobs-s3-connect.ts'
import { echo, folder, httpTarget, MIB, startBlobServer } from './support/blob-server.ts'
import { testBucket } from './support/s3-bucket.ts'

const skip = (await hasMoto()) ? false : 'python3-venv is not installed'

test('a server with its blobs in S3: in and out, and an outage in the middle', { skip }, async (t) => {
  const moto = await startMoto()
  t.after(() => moto.stop())
  const bucket = testBucket(moto.endpoint)
  t.after(() => bucket.close())
  await bucket.make()
  const target = await httpTarget(t, echo)
  const place = `s3://${BUCKET}/live?region=${REGION}&endpoint=${moto.endpoint}`
  const { url } = await startBlobServer(t, {
    dir: folder(t),
    given: { blobs: { place, ...CREDENTIALS }, queues: { echo: { target: target.url } } },
  })
  const post = (body: Buffer) =>
    fetch(`${url}/v1/queues/echo/tasks`, { method: 'POST', body, headers: { Prefer: 'wait=20' } })
  const bodies = Array.from({ length: 6 }, () => randomBytes(5 * MIB))
  const answers = await Promise.all(bodies.map(async (body) => Buffer.from(await (await post(body)).arrayBuffer())))
  for (const [index, answer] of answers.entries()) assert.equal(Buffer.compare(answer, bodies[index]!), 0)
  assert.equal((await bucket.keys('live/')).length, bodies.length)
  await moto.stop()
  const refused = await post(randomBytes(2 * MIB))
  assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [503, 'BLOB_UNAVAILABLE'])
  assert.equal((await post(Buffer.from('small'))).status, 200)
  await using back = await startMoto({ port: moto.port })
  const remade = testBucket(back.endpoint)
  await remade.make()
  remade.close()
  assert.equal((await post(randomBytes(2 * MIB))).status, 200)
})
