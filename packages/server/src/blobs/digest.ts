import { hash } from 'node:crypto'
import type { BlobRef } from '../task.ts'

/** Hashed in Node's pool from so many bytes on: on the way of other requests it would show. */
const IN_POOL_FROM_BYTES = 1024 * 1024

export async function refOf(bytes: Uint8Array): Promise<BlobRef> {
  return { sha256: await sha256(bytes), bytes: bytes.length }
}

export async function isWhatItNames(ref: BlobRef, bytes: Uint8Array): Promise<boolean> {
  return bytes.length === ref.bytes && (await sha256(bytes)) === ref.sha256
}

async function sha256(bytes: Uint8Array): Promise<string> {
  if (bytes.length < IN_POOL_FROM_BYTES) return hash('sha256', bytes)
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)
  return Buffer.from(digest).toString('hex')
}
