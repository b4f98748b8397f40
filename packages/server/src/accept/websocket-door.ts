import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '@forebay/broker'
import { ForebayError, toForebayError } from '@forebay/protocol'
import { WebSocketServer } from 'ws'
import type { HttpOptions } from '../options.ts'
import { refuseOnSocket } from './http-server.ts'
import type { RequestFields } from './request-fields.ts'
import { SsePulse } from './sse-pulse.ts'
import { type ConnectionParts, WebSocketConnection } from './websocket-connection.ts'
import { admitted, type HandshakeRules, SUBPROTOCOL, UPGRADE_HEADERS } from './websocket-handshake.ts'
import { createWebSocketAccept, type WebSocketSubmitParts } from './websocket-submit.ts'

/** /v1/stream: many tasks over one connection. docs/websocket.md says what is spoken there. */
export interface WebSocketDoor {
  /** Takes the connection over, or answers why not and ends it. */
  upgrade(request: IncomingMessage, fields: RequestFields, socket: Duplex, head: Buffer): void
  /** Sends everybody away, with 1001; whoever is still there when time is over is cut by `cut`. */
  stop(): void
  cut(): void
}

export type WebSocketDoorParts = Omit<ConnectionParts, 'accept' | 'pulse'> &
  WebSocketSubmitParts &
  HandshakeRules & {
    readonly http: Pick<HttpOptions, 'bodyBytesMax' | 'webSocketsMax'>
    readonly clock: Clock
  }

/** A body of the largest size in base64, and what stands around it. bytes */
export function messageBytesMax(bodyBytesMax: number): number {
  return Math.ceil(bodyBytesMax / 3) * 4 + MESSAGE_OVERHEAD_BYTES
}
const MESSAGE_OVERHEAD_BYTES = 64 * 1024

export function createWebSocketDoor(parts: WebSocketDoorParts): WebSocketDoor {
  const { http, admission, clock, telemetry } = parts
  const pulse = new SsePulse(clock)
  const connectionParts: ConnectionParts = { ...parts, accept: createWebSocketAccept(parts), pulse }
  const connections = new Set<WebSocketConnection>()
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // Compressed messages cost memory for each connection, and a small one can become a huge one.
    perMessageDeflate: false,
    maxPayload: messageBytesMax(http.bodyBytesMax),
    handleProtocols: () => SUBPROTOCOL,
  })

  return {
    upgrade(request, fields, socket, head) {
      try {
        const principal = admitted(request, fields, parts)
        if (admission.stopping) throw stopping()
        if (connections.size >= http.webSocketsMax) throw tooMany(http.webSocketsMax)
        server.handleUpgrade(request, socket, head, (webSocket) => {
          const connection = new WebSocketConnection(connectionParts, webSocket, request, principal)
          connections.add(connection)
          telemetry.metrics.webSockets.set(connections.size)
          webSocket.on('close', () => {
            connections.delete(connection)
            telemetry.metrics.webSockets.set(connections.size)
          })
        })
      } catch (thrown) {
        const error = toForebayError(thrown)
        telemetry.metrics.refused.inc({ code: error.code })
        if (error.code === 'INTERNAL') telemetry.log.error({ err: error.cause }, 'opening a WebSocket failed')
        refuseOnSocket(socket, error, error.code === 'UPGRADE_REQUIRED' ? UPGRADE_HEADERS : undefined)
      }
    },

    stop() {
      for (const connection of [...connections]) connection.stop()
    },

    cut() {
      for (const connection of [...connections]) connection.cut()
    },
  }
}

function stopping(): ForebayError {
  return new ForebayError('STOPPING', 'This server is stopping and takes no new connections; ask another.')
}

function tooMany(limit: number): ForebayError {
  return new ForebayError(
    'OVERLOADED',
    `As many WebSockets are open at this gateway as may be (http.webSocketsMax: ${limit}); ask another, or again soon.`,
    { members: { option: 'http.webSocketsMax', limit }, retryAfterS: 1 },
  )
}
