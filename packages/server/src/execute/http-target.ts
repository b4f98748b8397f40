import { createRequire } from 'node:module'
import type { Clock } from '@forebay/broker'
import type { Dispatcher, Pool } from 'undici'
import { essenceOf, isMediaType, MEDIA_TYPE_DEFAULT } from '../media-type.ts'
import type { Attempt, Outcome } from '../task.ts'
import { protocolFault, resultTooLarge } from './attempt-outcome.ts'
import { cutText } from './cut-text.ts'
import { BODY_BYTES_SHOWN, outcomeOfHttpStatus } from './http-outcome.ts'
import { readPieces } from './http-stream.ts'
import { type Cut, type OpenAttempt, OpenAttempts, outcomeOfCut } from './open-attempts.ts'
import type { Target } from './target.ts'
import { piecesOf } from './text-pieces.ts'
import { traceHeaders } from './trace-headers.ts'

const require = createRequire(import.meta.url)

export interface HttpTargetOptions {
  readonly url: string
  readonly resultBytesMax: number
  readonly clock: Clock
}

/**
 * Posts each task to one URL: the task's bytes with their content type, `forebay-task`, `forebay-attempt` and the trace
 * context as headers. 2xx is the result, which may come in pieces (`piecesOf`); `outcomeOfHttpStatus` tells what others
 * mean. Redirects are not followed.
 */
export class HttpTarget implements Target {
  onCapacity: () => void = () => {}
  readonly #options: HttpTargetOptions
  readonly #pool: Pool
  readonly #path: string
  readonly #worker: string
  readonly #open: OpenAttempts
  #stopping = false

  constructor(options: HttpTargetOptions) {
    const url = new URL(options.url)
    this.#options = options
    this.#path = `${url.pathname}${url.search}`
    this.#worker = url.origin
    this.#open = new OpenAttempts(options.clock)
    // Loaded only now: it is a sixth of all that a server loads, and most have no such target.
    const undici = require('undici') as typeof import('undici')
    // An attempt's own time limit ends it; undici's would come on top.
    this.#pool = new undici.Pool(url.origin, {
      connections: CONNECTIONS_MAX,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /** One connection each: nothing waits inside the pool while its time runs. */
  get capacity(): number {
    return this.#stopping ? 0 : CONNECTIONS_MAX - this.#open.size
  }

  run(attempt: Attempt): Promise<Outcome> {
    if (attempt.lost.aborted) return Promise.resolve(outcomeOfCut('assignment-lost', this.#worker))
    if (this.#stopping) return Promise.resolve(this.#unavailable('This server is about to stop.'))
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    const controller = new AbortController()
    const open: OpenAttempt = {
      attempt,
      tick: 0,
      cut: (why: Cut) => {
        resolve(outcomeOfCut(why, this.#worker))
        controller.abort()
        this.onCapacity()
      },
    }
    this.#open.add(open)
    this.#post(open, controller.signal).then((outcome) => {
      if (!this.#open.remove(open)) return
      resolve(outcome)
      this.onCapacity()
    })
    return promise
  }

  cancel(attempt: Attempt): void {
    this.#open.cancel(attempt)
  }

  async stop(signal: AbortSignal): Promise<void> {
    this.#stopping = true
    await this.#open.stop(signal)
    await this.#pool.destroy()
  }

  /** Never rejects. */
  async #post(open: OpenAttempt, signal: AbortSignal): Promise<Outcome> {
    const { attempt } = open
    const { task } = attempt
    let answer: Dispatcher.ResponseData
    try {
      answer = await this.#pool.request({
        method: 'POST',
        path: this.#path,
        headers: {
          'content-type': isMediaType(task.contentType) ? task.contentType : MEDIA_TYPE_DEFAULT,
          // The caller gets the bytes as they are: there is no one to undo an encoding.
          'accept-encoding': 'identity',
          'forebay-task': task.id,
          'forebay-attempt': String(attempt.number),
          ...traceHeaders(task),
        },
        body: task.payload,
        signal,
      })
    } catch (error) {
      return this.#unavailable(`The target at ${this.#worker} could not be reached: ${reasonOf(error)}`)
    }
    try {
      return await this.#outcomeOf(answer, open)
    } catch (error) {
      return this.#unavailable(`The target at ${this.#worker} broke off its answer: ${reasonOf(error)}`)
    }
  }

  async #outcomeOf(answer: Dispatcher.ResponseData, open: OpenAttempt): Promise<Outcome> {
    const { statusCode: status, headers, body } = answer
    // undici tells of an ended body by an event too: whoever reads it knows, and nobody else cares.
    body.on('error', () => {})
    const contentType = headerOf(headers, 'content-type') || MEDIA_TYPE_DEFAULT
    if (status < 200 || status > 299) {
      return outcomeOfHttpStatus({
        status,
        contentType,
        body: await readStart(body),
        retryAfter: headerOf(headers, 'retry-after'),
        location: status < 400 ? headerOf(headers, 'location') : undefined,
        wallMs: this.#options.clock.wallMs(),
        worker: this.#worker,
      })
    }
    const encoding = headerOf(headers, 'content-encoding')
    if (!isMediaType(contentType) || (encoding !== undefined && encoding !== 'identity')) {
      body.destroy()
      const what = isMediaType(contentType)
        ? `encodes its answer as '${cutText(encoding ?? '', 64)}'; it was asked for 'identity'`
        : 'answers with a content type that is not a media type'
      return protocolFault(`The target ${what}.`, this.#worker)
    }
    const pieces = piecesOf(essenceOf(contentType))
    if (pieces === null) return await this.#result(body, contentType)
    const { resultBytesMax } = this.#options
    const { attempt } = open
    const isOpen = () => open.tick !== 0
    return await readPieces({ body, contentType, pieces, attempt, isOpen, resultBytesMax, worker: this.#worker })
  }

  async #result(body: Dispatcher.ResponseData['body'], contentType: string): Promise<Outcome> {
    const { resultBytesMax } = this.#options
    const parts: Buffer[] = []
    let bytes = 0
    for await (const part of body as AsyncIterable<Buffer>) {
      bytes += part.byteLength
      if (bytes > resultBytesMax) return resultTooLarge(null, resultBytesMax, this.#worker)
      parts.push(part)
    }
    const payload = parts.length === 1 ? parts[0]! : Buffer.concat(parts, bytes)
    return { kind: 'succeeded', payload, contentType }
  }

  #unavailable(message: string): Outcome {
    return { kind: 'failed', code: 'TARGET_UNAVAILABLE', message, then: 'retry', worker: this.#worker }
  }
}

/** Leaving the loop early destroys the rest of the body, and its connection with it. */
async function readStart(body: Dispatcher.ResponseData['body']): Promise<Uint8Array> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of body as AsyncIterable<Buffer>) {
    parts.push(part)
    bytes += part.byteLength
    if (bytes >= BODY_BYTES_SHOWN) break
  }
  return Buffer.concat(parts)
}

function headerOf(headers: Dispatcher.ResponseData['headers'], name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? cutText(error.message || error.name, 256) : 'unknown reason'
}

/** Connections to one target, and so attempts at once. */
const CONNECTIONS_MAX = 256
