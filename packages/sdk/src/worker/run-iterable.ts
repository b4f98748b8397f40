import { type EncodedBody, isTypedBody, JSON_TYPE, type TypedBody } from '../body.ts'
import { DeadError } from './errors.ts'
import { encodeChunk } from './run-output.ts'
import type { Run } from './task.ts'

/**
 * Sends what an async generator, or any async iterable, yields: a chunk each, as fast as the server takes them. Resolves
 * to what it returns; where that is undefined, to all chunks as one body. When nobody waits for the attempt any more it
 * is ended at its next yield, its `finally` blocks and all. To a server that takes no chunks only the result is sent.
 */
export async function runIterable(iterable: AsyncIterable<unknown>, run: Run, bytesMax: number): Promise<unknown> {
  const iterator: AsyncIterator<unknown, unknown> = iterable[Symbol.asyncIterator]()
  const joined = new JoinedChunks(bytesMax)
  for (;;) {
    const step = await iterator.next()
    if (step.done === true) return step.value === undefined ? joined.body() : step.value
    try {
      const chunk = encodeChunk(step.value)
      joined.add(chunk, isJsonValue(step.value))
      await run.sendChunk(chunk)
    } catch (thrown) {
      await iterator.return?.()
      throw thrown
    }
  }
}

export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

/** Chunks as one body: JSON values as a JSON array, all else one after the other, with the content type of the first. */
class JoinedChunks {
  readonly #bytesMax: number
  #chunks: EncodedBody[] = []
  #bytes = 0
  #areJson = true

  /** `bytesMax` 0: the server named no limit. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  add(chunk: EncodedBody, isJson: boolean): void {
    this.#bytes += chunk.bytes.length
    this.#areJson &&= isJson
    if (this.#isTooLarge()) this.#chunks = []
    else this.#chunks.push(chunk)
  }

  /** Undefined when there were none. */
  body(): TypedBody | undefined {
    if (this.#isTooLarge()) {
      const limit = `the ${this.#bytesMax} bytes that a result can have`
      throw new DeadError(`The chunks have together more than ${limit}; return a result of their own.`)
    }
    const [first] = this.#chunks
    if (first === undefined) return undefined
    const parts = this.#chunks.map(({ bytes }) => bytes)
    if (!this.#areJson) return { body: Buffer.concat(parts), contentType: first.contentType }
    const list = parts.flatMap((bytes, index) => [index === 0 ? OPEN : COMMA, bytes])
    return { body: Buffer.concat([...list, CLOSE]), contentType: JSON_TYPE }
  }

  #isTooLarge(): boolean {
    return this.#bytesMax > 0 && this.#bytes > this.#bytesMax
  }
}

/** Whether it is sent as JSON for being no bytes and no text; a body that names its type itself is joined as it is. */
function isJsonValue(value: unknown): boolean {
  if (value === undefined || typeof value === 'string') return false
  return !(value instanceof Uint8Array || value instanceof ArrayBuffer || isTypedBody(value))
}

const OPEN = Buffer.from('[')
const COMMA = Buffer.from(',')
const CLOSE = Buffer.from(']')
