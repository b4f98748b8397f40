import { hash } from 'node:crypto'
import type { Call } from '../accept/http-call.ts'

/** Sends what seldom changes under a name of its content, so that who has it need not fetch it again. */
export function sendVersioned({ request, response }: Call, body: Buffer, extra: readonly string[]): void {
  const etag = `"${hash('sha256', body, 'base64url')}"`
  // Each use is checked with us, and no cache that others share may keep it: a key may have been needed.
  const headers = ['ETag', etag, 'Cache-Control', 'private, no-cache']
  if (isNamed(etag, request.headers['if-none-match'])) {
    response.writeHead(304, headers).end()
    return
  }
  response.writeHead(200, [...headers, ...extra, 'Content-Length', String(body.length)])
  response.end(body)
}

/** Weak and strong names compare alike here (RFC 9110, 13.1.2). */
function isNamed(etag: string, asked: string | undefined): boolean {
  if (asked === undefined) return false
  return asked.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag)
}
