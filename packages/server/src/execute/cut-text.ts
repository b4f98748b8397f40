/** At most `bytesMax` bytes of UTF-8, cut between characters; control characters become spaces. */
export function cutText(text: string, bytesMax: number): string {
  // A UTF-16 unit makes at least one byte: whatever is beyond cannot be needed.
  const printable = text.slice(0, bytesMax).replace(CONTROL_CHARACTERS, ' ').toWellFormed()
  if (Buffer.byteLength(printable) <= bytesMax) return printable
  const bytes = Buffer.from(printable)
  let end = bytesMax
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

/** Longest message of a failure that is kept. */
export const MESSAGE_BYTES_MAX = 4096

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f]+/g
