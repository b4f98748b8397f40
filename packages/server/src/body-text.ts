import { isUtf8 } from 'node:buffer'

/** Results up to this size are told beside their task, by streams and callbacks; larger ones are a link. bytes */
export const RESULT_BESIDE_TASK_BYTES_MAX = 64 * 1024

/** Null where the bytes are no UTF-8. */
export function textOf(bytes: Uint8Array): string | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return isUtf8(buffer) ? buffer.toString('utf8') : null
}

/** For JSON: bytes arrive as they were. A character that is cut in two makes all of them base64. */
export function bodyData(bytes: Uint8Array): { readonly text: string } | { readonly base64: string } {
  const text = textOf(bytes)
  return text === null ? { base64: Buffer.from(bytes).toString('base64') } : { text }
}
