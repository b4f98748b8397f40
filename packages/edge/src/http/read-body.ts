import type { IncomingMessage } from 'node:http'
import { ForebayError } from '@forebay/protocol'

/** Bytes of all bodies that are in memory at once; beyond it 429. */
export class BodyRoom {
  #bytes = 0
  readonly #bytesMax: number

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The whole body; `use` is done with it when it resolves. Throws TASK_TOO_LARGE, OVERLOADED, BAD_REQUEST. */
  async read<Answer>(
    request: IncomingMessage,
    bytesMax: number,
    use: (body: Buffer) => Promise<Answer>,
  ): Promise<Answer> {
    const declared = Number(request.headers['content-length'] ?? 0)
    if (declared > bytesMax) throw tooLarge(bytesMax)
    return this.collect(request, bytesMax, use)
  }

  /** The same of any stream of bytes, such as one that is unpacked. */
  async collect<Answer>(
    stream: AsyncIterable<unknown>,
    bytesMax: number,
    use: (body: Buffer) => Promise<Answer>,
  ): Promise<Answer> {
    const pieces: Buffer[] = []
    let bytes = 0
    try {
      for await (const piece of stream) {
        const { length } = piece as Buffer
        bytes += length
        this.#bytes += length
        if (bytes > bytesMax) throw tooLarge(bytesMax)
        if (this.#bytes > this.#bytesMax) {
          throw new ForebayError('OVERLOADED', 'Too many bodies are on their way at once.', { retryAfterS: 1 })
        }
        pieces.push(piece as Buffer)
      }
      return await use(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, bytes))
    } finally {
      this.#bytes -= bytes
    }
  }
}

function tooLarge(bytesMax: number): ForebayError {
  return new ForebayError('TASK_TOO_LARGE', `The body has more than ${bytesMax} bytes; send smaller batches.`, {
    members: { bytesMax },
  })
}
