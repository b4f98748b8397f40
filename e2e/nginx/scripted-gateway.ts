import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Gateways that do as they are told, so that each way of failing can be tried; nginx before them is the real one. */
export interface ScriptedGateways extends AsyncDisposable {
  /** host:port of each. */
  readonly addresses: readonly string[]
  /** Every request that reached any of them, since the last `answers`. */
  readonly seen: IncomingMessage[]
  /** What the first request, the second one and so on is answered with, whichever gateway it comes to. */
  answers(...answers: readonly Answer[]): void
}

/** 'lost': the connection is cut once the whole request has been read. */
export type Answer = 'lost' | { readonly status: number; readonly body?: string }

export async function scriptedGateways(count: number): Promise<ScriptedGateways> {
  let script: readonly Answer[] = []
  let seen: IncomingMessage[] = []
  const servers = Array.from({ length: count }, () => createServer(answer))
  for (const server of servers) await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    addresses: servers.map((server) => `127.0.0.1:${(server.address() as AddressInfo).port}`),
    get seen() {
      return seen
    },
    answers(...answers) {
      script = answers
      seen = []
    },
    async [Symbol.asyncDispose]() {
      for (const server of servers) {
        server.closeAllConnections()
        server.close()
      }
    },
  }

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const next = script[seen.length] ?? { status: 200 }
    seen.push(request)
    request.resume().on('end', () => {
      if (next === 'lost') request.socket.destroy()
      else response.writeHead(next.status, { 'content-type': 'application/json' }).end(next.body ?? '{}')
    })
  }
}
