import { WebSocket } from 'ws'

export interface Said {
  readonly ref?: string
  readonly event: string
  readonly position?: string
  readonly [member: string]: unknown
}

/** A peer of /v1/stream that remembers all it was told. */
export interface StreamClient {
  readonly socket: WebSocket
  readonly said: readonly Said[]
  /** What was told under a ref, up to now. */
  under(ref: string): readonly Said[]
  say(message: object | string): void
  /** The first that fits, of what was told already or comes yet. */
  hear(fits: (said: Said) => boolean): Promise<Said>
  /** Resolves with how the connection ended. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  close(): Promise<void>
}

export interface ConnectOptions {
  readonly key?: string
  readonly protocols?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
}

/** `url`: of the HTTP door. Rejects with the refusal's status and body where the server does not upgrade. */
export async function openStream(url: string, options: ConnectOptions = {}): Promise<StreamClient> {
  const { key, protocols = ['forebay.v1'], headers = {} } = options
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/stream`, [...protocols], {
    headers: { ...authorization, ...headers },
  })
  const said: Said[] = []
  let heard = Promise.withResolvers<void>()
  const wake = () => {
    heard.resolve()
    heard = Promise.withResolvers()
  }
  let over = false
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => {
      over = true
      resolve({ code, reason: String(reason) })
      wake()
    })
  })
  socket.on('message', (data) => {
    said.push(JSON.parse(String(data)) as Said)
    wake()
  })
  await new Promise<void>((resolve, reject) => {
    socket.on('open', () => resolve())
    socket.on('error', reject)
    socket.on('unexpected-response', (_request, response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => {
        body += chunk
      })
      response.on('end', () => reject(new Refused(response.statusCode!, response.headers, body)))
    })
  })
  socket.on('error', () => {})
  return {
    socket,
    said,
    under: (ref) => said.filter((one) => one.ref === ref),
    say: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    async hear(fits) {
      for (let at = 0; ; ) {
        for (; at < said.length; at++) if (fits(said[at]!)) return said[at]!
        if (over) throw new Error(`the connection ended; told was ${JSON.stringify(said).slice(0, 2_000)}`)
        await heard.promise
      }
    },
    closed,
    async close() {
      socket.close()
      await closed
    },
  }
}

export class Refused extends Error {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly problem: Readonly<Record<string, unknown>>

  constructor(status: number, headers: Refused['headers'], body: string) {
    super(`${status} ${body}`)
    this.status = status
    this.headers = headers
    this.problem = JSON.parse(body) as Record<string, unknown>
  }
}
