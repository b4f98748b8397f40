import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { TestContext } from 'node:test'

/** One call of a webhook, as its receiver had it. */
export interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly path: string
  readonly atMs: number
}

export interface Receiver {
  readonly port: number
  readonly calls: readonly Received[]
  /** Connections so far, also those on which nothing was said. */
  readonly connections: number
  /** How it answers from now on; by default 204. */
  answer: (response: ServerResponse, call: Received) => void
  /** Resolves with the calls when there are so many. */
  until(count: number): Promise<readonly Received[]>
}

/** Whoever gets webhooks; over TLS with `tls`. */
export async function startReceiver(t: TestContext, tls?: { readonly key: string; readonly cert: string }) {
  const calls: Received[] = []
  let connections = 0
  const waiting = new Set<() => void>()
  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    response.on('error', () => {})
    const body = await buffer(request)
    const call = { headers: request.headers, body, path: request.url!, atMs: Date.now() }
    calls.push(call)
    receiver.answer(response, call)
    for (const look of waiting) look()
  }
  const server = tls === undefined ? createServer(listener) : createHttpsServer(tls, listener)
  server.on('connection', () => {
    connections++
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const receiver: Receiver = {
    port: (server.address() as AddressInfo).port,
    calls,
    get connections() {
      return connections
    },
    answer: (response) => response.writeHead(204).end(),
    until(count) {
      return new Promise((resolve) => {
        const look = () => {
          if (calls.length < count) return
          waiting.delete(look)
          resolve(calls)
        }
        waiting.add(look)
        look()
      })
    },
  }
  return receiver
}

/** A receiver that speaks in bytes: `speak` is called once for each connection, when a whole request has come. */
export async function startRawReceiver(
  t: TestContext,
  speak: (socket: Socket) => void,
): Promise<{ readonly port: number }> {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    let heard = ''
    socket.on('data', (chunk) => {
      const before = heard.includes('\r\n\r\n')
      heard += chunk.toString('latin1')
      if (!before && heard.includes('\r\n\r\n')) speak(socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port }
}
