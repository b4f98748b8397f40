import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ForebayError, toProblem } from '@forebay/protocol'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  readonly at: number
}

export type Reply = (asked: Asked, response: ServerResponse) => void | Promise<void>

/** The other side of the HTTP door, played by hand: each request is answered by the next reply, the last one repeats. */
export class HttpGateway implements AsyncDisposable {
  readonly asked: Asked[] = []
  readonly url: string
  readonly #server: Server

  static async start(...replies: Reply[]): Promise<HttpGateway> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new HttpGateway(server, replies)
  }

  private constructor(server: Server, replies: Reply[]) {
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('request', async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      const asked = {
        method: request.method!,
        path: request.url!,
        headers: request.headers,
        body: Buffer.concat(chunks),
        at: performance.now(),
      }
      const reply = replies[Math.min(this.asked.length, replies.length - 1)]!
      this.asked.push(asked)
      await reply(asked, response)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }
}

export function accepted(id = 'task-1', headers: Record<string, string> = {}): Reply {
  return (_asked, response) => {
    response.writeHead(202, { 'content-type': 'application/json', location: `/v1/tasks/${id}`, ...headers })
    response.end(
      JSON.stringify({ id, queue: 'q', state: 'pending', acceptedAt: '2026-01-01T00:00:00.000Z', links: {} }),
    )
  }
}

export function result(body: string | Uint8Array, contentType: string, id = 'task-1'): Reply {
  return (_asked, response) => {
    response.writeHead(200, { 'content-type': contentType, 'forebay-task': id, 'forebay-state': 'succeeded' })
    response.end(body)
  }
}

export function problem(
  code: ConstructorParameters<typeof ForebayError>[0],
  members: Record<string, string | number> = {},
  headers: Record<string, string> = {},
): Reply {
  return (_asked, response) => {
    const body = toProblem(new ForebayError(code, `It is ${code}.`, { members }))
    response.writeHead(body.status, { 'content-type': 'application/problem+json', ...headers })
    response.end(JSON.stringify(body))
  }
}

/** Cuts the connection instead of answering. */
export const hangUp: Reply = (_asked, response) => {
  response.socket?.destroy()
}

/** Never answers. */
export const silence: Reply = () => {}
