import { describe } from 'node:test'
import { hasMoto, startMoto } from '../../../scripts/rig/moto.ts'
import { blobContract } from '../src/blobs/contract/contract.ts'
import { connect } from './blobs-s3-connect.ts'
import { testBucket } from './support/s3-bucket.ts'

const skip = (await hasMoto()) ? false : 'python3-venv is not installed, and moto (the S3 server) needs it'

describe('S3, by moto', { skip }, () => {
  if (skip !== false) return
  blobContract('s3', async () => {
    const moto = await startMoto()
    const bucket = testBucket(moto.endpoint)
    await bucket.make()
    return {
      connect: (place, options) => connect(moto.endpoint, place, options),
      count: async (place) => (await bucket.keys(`${place}/`)).length,
      async damage(place, { sha256 }) {
        const keys = await bucket.keys(`${place}/`)
        for (const key of keys.filter((one) => one.includes(sha256))) await bucket.damage(key)
      },
      child: { url: new URL('./blobs-s3-connect.ts', import.meta.url).href, argument: moto.endpoint },
      async close() {
        bucket.close()
        await moto.stop()
      },
    }
  })
})
