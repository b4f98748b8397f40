/**
 * Messages of one TCP or unix stream: each with its length before it (RFC 6587, octet counting) or each on a line, told by the
 * first byte of each. One that is longer than `MESSAGE_BYTES_MAX` comes in pieces.
 */
export class StreamFrames {
  #rest: Buffer = Buffer.alloc(0)

  /** The messages that are whole now. */
  push(chunk: Buffer): Buffer[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const messages: Buffer[] = []
    let at = 0
    while (at < bytes.length) {
      const end = nextFrame(bytes, at, messages)
      if (end === null) break
      at = end
    }
    this.#rest = bytes.subarray(at)
    return messages
  }

  /** What was begun when the stream ended; null when nothing was. */
  end(): Buffer | null {
    const rest = this.#rest
    this.#rest = Buffer.alloc(0)
    return rest.length === 0 ? null : rest
  }
}

/** Where the frame ends; null when more must come. */
function nextFrame(bytes: Buffer, at: number, into: Buffer[]): number | null {
  if (bytes[at]! >= ONE && bytes[at]! <= NINE) {
    const [head, digits] = /^([1-9]\d{0,6}) /.exec(bytes.toString('latin1', at, at + 8)) ?? []
    if (head !== undefined && Number(digits) <= MESSAGE_BYTES_MAX) {
      const [from, end] = [at + head.length, at + head.length + Number(digits)]
      if (end > bytes.length) return null
      into.push(bytes.subarray(from, end))
      return end
    }
    if (bytes.length - at < 8 && /^[1-9]\d*$/.test(bytes.toString('latin1', at))) return null
  }
  const newline = bytes.indexOf(NEWLINE, at)
  if (newline >= 0 && newline - at <= MESSAGE_BYTES_MAX) {
    if (newline > at) into.push(bytes.subarray(at, newline))
    return newline + 1
  }
  if (bytes.length - at < MESSAGE_BYTES_MAX) return null
  into.push(bytes.subarray(at, at + MESSAGE_BYTES_MAX))
  return at + MESSAGE_BYTES_MAX
}

export const MESSAGE_BYTES_MAX = 1024 * 1024
const NEWLINE = 10
const ONE = 0x31
const NINE = 0x39
