import type { Http2Server, IncomingHttpHeaders } from 'node:http2'
import type { Server } from '@grpc/grpc-js'

/** Longest `grpc-timeout` that is kept to, of a call that names a longer one; about 24 days, what a timer of Node can hold. ms */
export const TIMEOUT_MAX_MS = 2_147_460_000

/**
 * grpc-js keeps a call's timeout in a 32-bit number: one of more than 24 days, which is how many clients say "none", becomes
 * a deadline that has passed. Here it is cut to what fits, before grpc-js sees it. To be called once the server is bound: grpc-js
 * shows its HTTP/2 servers to nobody, and a test holds that they are there.
 */
export function letLongTimeoutsPass(server: Server): void {
  const inner = server as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> }
  for (const http2 of inner.http2Servers?.keys() ?? []) {
    http2.prependListener('stream', (_stream, headers: IncomingHttpHeaders) => {
      const timeout = headers['grpc-timeout']
      if (typeof timeout === 'string' && timeoutMs(timeout) > TIMEOUT_MAX_MS) {
        headers['grpc-timeout'] = `${TIMEOUT_MAX_MS / 60_000}M`
      }
    })
  }
}

/** 0 for what is no timeout: that is for grpc-js to say. */
function timeoutMs(text: string): number {
  const [, digits, unit] = TIMEOUT.exec(text) ?? []
  return unit === undefined ? 0 : Number(digits) * UNITS_MS[unit]!
}

const TIMEOUT = /^(\d{1,20})([HMSmun])$/
const UNITS_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 }
