import type { IncomingMessage } from 'node:http'
import { ForebayError } from '@forebay/protocol'
import { methodNotAllowed } from './http-server.ts'
import type { Authenticate } from './principal.ts'
import type { RequestFields } from './request-fields.ts'

export const STREAM_PATH = '/v1/stream'
/** What a client has to speak; the server's answer names it. */
export const SUBPROTOCOL = 'forebay.v1'

export interface HandshakeRules {
  readonly authenticate: Authenticate
  /** Whether every request wants an access key. */
  readonly keys: boolean
}

/**
 * Who asks to speak over this connection. Throws, in this order, ROUTE_NOT_FOUND, METHOD_NOT_ALLOWED, UPGRADE_REQUIRED for
 * another version of the protocol, BAD_HEADER, FORBIDDEN for a page of another site, UNAUTHENTICATED.
 */
export function admitted(request: IncomingMessage, fields: RequestFields, rules: HandshakeRules): string {
  const { headers } = request
  if (request.url!.split('?', 1)[0] !== STREAM_PATH) throw streamNotFound()
  if (request.method !== 'GET') throw methodNotAllowed()
  if (headers['sec-websocket-version'] !== VERSION) throw upgradeRequired()
  if (!KEY.test(headers['sec-websocket-key'] ?? '')) {
    throw badHeader('Sec-WebSocket-Key', 'Sec-WebSocket-Key is not the base64 of 16 bytes.')
  }
  const protocols = (headers['sec-websocket-protocol'] ?? '').split(',').map((one) => one.trim())
  if (!protocols.includes(SUBPROTOCOL)) {
    throw badHeader('Sec-WebSocket-Protocol', `Offer the sub-protocol ${SUBPROTOCOL}: it is the only one spoken here.`)
  }
  if (!rules.keys && isForeignPage(headers.origin, fields.host)) {
    throw new ForebayError(
      'FORBIDDEN',
      'This page is of another site, and a server without access keys answers only its own; configure auth.keys.',
      { members: { header: 'Origin' } },
    )
  }
  return rules.authenticate(authorizationOf(fields.authorization, protocols))
}

/** For a request that wants the stream and is none of WebSocket's, or of a version of it that nobody speaks. */
export function upgradeRequired(): ForebayError {
  return new ForebayError(
    'UPGRADE_REQUIRED',
    `${STREAM_PATH} speaks WebSocket, version ${VERSION}, with the sub-protocol ${SUBPROTOCOL}; open it with a WebSocket client.`,
  )
}

export const UPGRADE_HEADERS = ['Upgrade', 'websocket', 'Sec-WebSocket-Version', '13', 'Connection', 'Upgrade, close']

const VERSION = '13'
const KEY = /^[A-Za-z0-9+/]{22}==$/
/** Browsers let a page name sub-protocols and no header: there the key comes along as one of them. */
const BEARER_PROTOCOL = 'bearer.'

function authorizationOf(header: string | undefined, protocols: readonly string[]): string | undefined {
  const offered = protocols.filter((one) => one.startsWith(BEARER_PROTOCOL))
  if (offered.length === 0) return header
  if (header !== undefined || offered.length > 1) {
    throw badHeader('Sec-WebSocket-Protocol', 'Send one access key, in one place.')
  }
  return `Bearer ${Buffer.from(offered[0]!.slice(BEARER_PROTOCOL.length), 'base64url').toString('latin1')}`
}

/** What a browser keeps other sites' pages from doing over HTTP, reading what is answered, it lets them do here. */
function isForeignPage(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return false
  return !URL.canParse(origin) || new URL(origin).host.toLowerCase() !== host?.toLowerCase()
}

function streamNotFound(): ForebayError {
  return new ForebayError('ROUTE_NOT_FOUND', `There is no WebSocket at this address; it is at ${STREAM_PATH}.`)
}

function badHeader(header: string, message: string): ForebayError {
  return new ForebayError('BAD_HEADER', message, { members: { header } })
}
