import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'

/** Who is called back: checks each signature with the standard's own package, and keeps what it was told. */
export interface Receiver extends AsyncDisposable {
  readonly url: string
  /** Answers by task id, in the order of the calls. */
  readonly calls: ReadonlyMap<string, readonly string[]>
  /** Resolves with the first answer for this task. */
  called(taskId: string): Promise<string>
  /** Calls that no receiver would accept, a sentence each. */
  readonly problems: readonly string[]
}

interface Delivered {
  readonly data: { readonly id: string; readonly result?: { readonly text?: string } }
}

export async function startReceiver(secret: string): Promise<Receiver> {
  const calls = new Map<string, string[]>()
  const problems: string[] = []
  const awaited = new Map<string, (answer: string) => void>()
  const webhook = new Webhook(secret)
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const body = Buffer.concat(parts).toString()
    try {
      const { data } = webhook.verify(body, request.headers as Record<string, string>) as Delivered
      const answers = calls.get(data.id) ?? []
      const answer = data.result?.text ?? ''
      calls.set(data.id, [...answers, answer])
      awaited.get(data.id)?.(answer)
      awaited.delete(data.id)
      response.writeHead(204).end()
    } catch (error) {
      problems.push(`${(error as Error).message}: ${body.slice(0, 200)}`)
      response.writeHead(400).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/called`,
    calls,
    called(taskId) {
      const [answer] = calls.get(taskId) ?? []
      return answer === undefined ? new Promise((resolve) => awaited.set(taskId, resolve)) : Promise.resolve(answer)
    },
    problems,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
