import { lookup } from 'node:dns/promises'
import { connect, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { type Clock, systemClock } from '@forebay/broker'

export interface Address {
  readonly host: string
  readonly port: number
}

/** How far one comes on the way to an address. */
export type Reached =
  | { readonly kind: 'reached'; readonly ms: number; readonly at: string; readonly certificate: Certificate | null }
  | { readonly kind: 'unresolved'; readonly why: string }
  | { readonly kind: 'unreachable'; readonly at: string; readonly why: string }
  | { readonly kind: 'untrusted'; readonly at: string; readonly why: string }

export interface Certificate {
  readonly subject: string
  readonly validToMs: number
}

/** Name, port and, with `tls`, the handshake, as a client of ours would; nothing is said over the connection. */
export async function reach(
  { host, port }: Address,
  tls: ConnectionOptions | null,
  clock: Clock = systemClock,
): Promise<Reached> {
  const beganMs = clock.monotonicMs()
  const resolved = await resolve(host)
  if ('why' in resolved) return { kind: 'unresolved', why: resolved.why }
  const at = `${resolved.address}:${port}`
  const opened = await opening(connect({ host: resolved.address, port }), 'connect')
  if ('why' in opened) return { kind: 'unreachable', at, why: opened.why }
  if (tls === null) {
    opened.socket.destroy()
    return { kind: 'reached', ms: clock.monotonicMs() - beganMs, at, certificate: null }
  }
  const names = isIP(host) === 0 ? { servername: host, host } : { host }
  const secured = await opening(connectTls({ ...tls, ...names, socket: opened.socket }), 'secureConnect')
  if ('why' in secured) {
    opened.socket.destroy()
    return { kind: 'untrusted', at, why: secured.why }
  }
  const { subject, valid_to: validTo } = (secured.socket as TLSSocket).getPeerCertificate()
  secured.socket.destroy()
  const name = subject?.CN
  const certificate = { subject: typeof name === 'string' ? name : '', validToMs: Date.parse(validTo) }
  return { kind: 'reached', ms: clock.monotonicMs() - beganMs, at, certificate }
}

async function resolve(host: string): Promise<{ readonly address: string } | { readonly why: string }> {
  try {
    const { address } = await lookup(host)
    return { address }
  } catch (error) {
    return { why: messageOf(error) }
  }
}

function opening<One extends Socket>(
  socket: One,
  event: 'connect' | 'secureConnect',
): Promise<{ readonly socket: One } | { readonly why: string }> {
  return new Promise((done) => {
    const fail = (why: string) => {
      socket.destroy()
      done({ why })
    }
    socket.setTimeout(WITHIN_MS, () => fail(`no answer within ${WITHIN_MS / 1_000} s`))
    socket.on('error', (error) => fail(messageOf(error)))
    socket.on('close', () => fail('the connection was closed'))
    socket.on(event, () => {
      socket.setTimeout(0)
      done({ socket })
    })
  })
}

/** Longer than any network that one would log over takes. */
const WITHIN_MS = 3_000

export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if ('errors' in error && Array.isArray(error.errors) && error.errors.length > 0) return messageOf(error.errors[0])
  const code = 'code' in error && typeof error.code === 'string' ? error.code : null
  if (code === null || error.message.includes(code)) return error.message
  return `${code}: ${error.message}`
}
