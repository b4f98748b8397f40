import { join } from 'node:path'
import type { BlobOptions } from '../options.ts'
import type { ReadOptions } from '../options-schema.ts'
import type { Place } from './field.ts'
import type { FileReader } from './file-reader.ts'

export function resolveBlobs(read: ReadOptions, dataDir: string, place: Place, files: FileReader): BlobOptions {
  const { above, resultMax, place: chosen, accessKeyId, secretAccessKey } = read.blobs
  if ((accessKeyId === null) !== (secretAccessKey === null)) {
    const missing = accessKeyId === null ? 'accessKeyId' : 'secretAccessKey'
    place.at(missing).refuse(null, 'A key of S3 has two halves, and only one is given.', `Add \`${missing}\`.`)
  }
  if (accessKeyId !== null && chosen.kind !== 's3') {
    place.at('accessKeyId').refuse(null, 'Only a place in S3 has keys.', 'Take them out, or name a place s3://….')
  }
  return { aboveBytes: above, resultBytesMax: resultMax, place: placeOf() }

  function placeOf(): BlobOptions['place'] {
    switch (chosen.kind) {
      case 'none':
        return null
      case 'default':
        // Another process would not find what lies in a folder of this one.
        return read.broker.kind === 'embedded' ? { kind: 'folder', dir: join(dataDir, 'blobs') } : null
      case 'data':
        return { kind: 'folder', dir: join(dataDir, 'blobs') }
      case 'path':
        return { kind: 'folder', dir: files.absolute(chosen.path, place.at('place')) }
      case 's3': {
        const { bucket, prefix, region, endpoint } = chosen
        const credentials = accessKeyId === null || secretAccessKey === null ? null : { accessKeyId, secretAccessKey }
        return { kind: 's3', bucket, prefix, region, endpoint, credentials }
      }
    }
  }
}
