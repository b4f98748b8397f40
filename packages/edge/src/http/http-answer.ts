import type { ServerResponse } from 'node:http'
import { ERRORS, type ForebayError, toProblem } from '@forebay/protocol'

export function answer(response: ServerResponse, status: number, body: object): void {
  send(response, status, 'application/json', body)
}

export function answerProblem(response: ServerResponse, error: ForebayError, more: object = {}): void {
  if (error.retryAfterS !== undefined) response.setHeader('retry-after', error.retryAfterS)
  send(response, ERRORS[error.code].http, 'application/problem+json', { ...toProblem(error), ...more })
}

function send(response: ServerResponse, status: number, contentType: string, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
