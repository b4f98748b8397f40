import type { IncomingMessage, ServerResponse } from 'node:http'
import { ForebayError } from '@forebay/protocol'
import type { Admission } from './admission.ts'
import { hasBody, type RequestFields } from './request-fields.ts'

/**
 * The body's bytes as they came, at most `bytesMax`. What it holds counts against `admission` from its first byte on;
 * after success the caller gives that back (`length` of the body), after a failure it has been given back.
 *
 * A body whose length is known to be too large is refused before it is read, and before `100 Continue` is sent.
 * Rejects with TASK_TOO_LARGE, OVERLOADED, BAD_REQUEST when it was cut short.
 */
export function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  fields: RequestFields,
  bytesMax: number,
  admission: Admission,
): Promise<Buffer> | Buffer {
  if (!hasBody(fields)) return EMPTY
  if (fields.contentLength !== undefined && Number(fields.contentLength) > bytesMax) throw tooLarge(bytesMax)
  if (fields.expect !== undefined) response.writeContinue()
  return new Promise((resolve, reject) => {
    let held = 0
    let only: Buffer | null = null
    let rest: Buffer[] | null = null
    request.on('data', onData)
    request.on('end', onEnd)
    request.on('error', onCut)
    request.on('close', onCut)

    function onData(chunk: Buffer): void {
      try {
        if (held + chunk.length > bytesMax) throw tooLarge(bytesMax)
        admission.grow(chunk.length)
      } catch (thrown) {
        fail(thrown)
        return
      }
      held += chunk.length
      if (only === null) only = chunk
      else if (rest === null) rest = [only, chunk]
      else rest.push(chunk)
    }
    function onEnd(): void {
      quit()
      resolve(rest === null ? (only ?? EMPTY) : Buffer.concat(rest, held))
    }
    function onCut(): void {
      fail(new ForebayError('BAD_REQUEST', 'The body ended before its announced length.'))
    }
    function fail(thrown: unknown): void {
      quit()
      // Only now is an error of the stream nobody's business.
      request.on('error', ignore)
      admission.leave(held)
      reject(thrown)
    }
    function quit(): void {
      request.off('data', onData)
      request.off('end', onEnd)
      request.off('error', onCut)
      request.off('close', onCut)
    }
  })
}

const EMPTY = Buffer.alloc(0)

function ignore(): void {}

function tooLarge(bytesMax: number): ForebayError {
  return new ForebayError('TASK_TOO_LARGE', `The body is larger than the ${bytesMax} bytes that are taken here.`, {
    members: { limit: bytesMax },
  })
}
