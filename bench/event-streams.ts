import { connect, type Socket } from 'node:net'

/** Many streams of server-sent events over raw sockets: what a reader costs is to be the gateway's share only. */
export class EventStreams {
  readonly #sockets: Socket[] = []
  readonly #onEvent: (name: string, data: string) => void
  /** Streams that the gateway has ended. */
  ended = 0

  /** Called with each event that holds data. */
  constructor(onEvent: (name: string, data: string) => void) {
    this.#onEvent = onEvent
  }

  /** Resolves when the first event has come. */
  open(url: string, taskId: string): Promise<void> {
    const { hostname, port, host } = new URL(url)
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname)
      this.#sockets.push(socket)
      let rest = ''
      let name = ''
      socket.setEncoding('latin1')
      socket.on('data', (text: string) => {
        const lines = (rest + text).split('\n')
        rest = lines.pop()!
        for (const line of lines) {
          if (line.startsWith('event:')) name = line.slice(6).trim()
          else if (line.startsWith('data:')) {
            this.#onEvent(name, line.slice(5).trim())
            resolve()
          } else if (line.startsWith('HTTP/1.1 ') && !line.startsWith('HTTP/1.1 200')) reject(new Error(line.trim()))
        }
      })
      socket.on('error', reject)
      socket.on('close', () => {
        this.ended++
        reject(new Error('the gateway has closed the stream'))
      })
      socket.write(`GET /v1/tasks/${taskId}/events HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`)
    })
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
