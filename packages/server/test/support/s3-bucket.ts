import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { BUCKET, CREDENTIALS, REGION } from '../blobs-s3-connect.ts'

/** The bucket of the tests, seen past our own code. */
export interface TestBucket {
  make(): Promise<void>
  keys(prefix: string): Promise<readonly string[]>
  /** Puts other bytes of the same length. */
  damage(key: string): Promise<void>
  close(): void
}

export function testBucket(endpoint: string): TestBucket {
  const client = new S3Client({ endpoint, region: REGION, credentials: { ...CREDENTIALS }, forcePathStyle: true })
  const keys = async (Prefix: string) => {
    const page = await client.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix }))
    return (page.Contents ?? []).map(({ Key }) => Key!)
  }
  return {
    async make() {
      const CreateBucketConfiguration = { LocationConstraint: REGION } as const
      await client.send(new CreateBucketCommand({ Bucket: BUCKET, CreateBucketConfiguration }))
    },
    keys,
    async damage(Key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key }))
      const bytes = await Body!.transformToByteArray()
      bytes[0]! ^= 1
      await client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: bytes }))
    },
    close: () => client.destroy(),
  }
}
