/** Null where the bytes are no UTF-8. A byte order mark is part of the text. */
export function strictUtf8(bytes: Uint8Array): string | null {
  try {
    return DECODER.decode(bytes)
  } catch {
    return null
  }
}

const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
