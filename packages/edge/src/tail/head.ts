import { createHash } from 'node:crypto'

/** A file is known again by so many of its first bytes: enough to hold a time and a request id. */
export const HEAD_BYTES = 1_024

export function hashOf(head: Buffer): string {
  return createHash('sha256').update(head).digest('base64url')
}
