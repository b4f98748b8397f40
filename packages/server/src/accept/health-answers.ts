import type { ServerResponse } from 'node:http'
import type { Registry } from 'prom-client'
import { sendJson } from './http-answers.ts'

/** For /readyz. */
export interface Health {
  readonly ready: boolean
  /** Why not, one line each. */
  readonly reasons: readonly string[]
  /** What an acknowledgement survives (P1). */
  readonly profile: 'embedded' | 'replicated' | 'fsync'
}

/** The event loop turns: that is all that /livez says. Who asked the log here would restart every process with it. */
export function sendLiveness(response: ServerResponse): void {
  sendText(response, 'alive\n', 'text/plain; charset=utf-8')
}

export function sendReadiness(response: ServerResponse, health: Health, stopping: boolean): void {
  const ready = health.ready && !stopping
  const reasons = stopping ? ['stopping', ...health.reasons] : health.reasons
  sendJson(response, ready ? 200 : 503, [], { ready, profile: health.profile, reasons })
}

export async function sendMetrics(response: ServerResponse, registry: Registry): Promise<void> {
  sendText(response, await registry.metrics(), registry.contentType)
}

function sendText(response: ServerResponse, body: string, contentType: string): void {
  response.writeHead(200, ['Content-Type', contentType, 'Content-Length', String(Buffer.byteLength(body))])
  response.end(body)
}
