import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { cleanEnvironment, MAIN } from './run-forebay.ts'

export const FREE_PORTS = ['--set', 'http.listen=127.0.0.1:0', '--set', 'grpc.listen=127.0.0.1:0']

export interface Up extends AsyncDisposable {
  readonly child: ChildProcess
  readonly url: string
  readonly grpc: string
  /** Resolves with the first line of stderr that matches. */
  says(pattern: RegExp): Promise<string>
  readonly stopped: Promise<{ readonly code: number | null; readonly event: Record<string, unknown> | null }>
}

/** A real `forebay up --json` on free ports, in a folder of its own. */
export async function up(folder: string, args: readonly string[] = []): Promise<Up> {
  const child = spawn(process.execPath, [MAIN, 'up', '--json', ...FREE_PORTS, ...args], {
    cwd: folder,
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const events: Record<string, unknown>[] = []
  const said: string[] = []
  const listeners = new Set<() => void>()
  const started = Promise.withResolvers<Record<string, unknown>>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    events.push(JSON.parse(line) as Record<string, unknown>)
    started.resolve(events[0]!)
  })
  createInterface({ input: child.stderr }).on('line', (line) => {
    said.push(line)
    for (const listener of listeners) listener()
  })
  const ended = once(child, 'close') as Promise<[number | null]>
  void ended.then(([code]) => started.reject(new Error(`up ended with ${code}:\n${said.join('\n')}`)))
  const event = await started.promise
  return {
    child,
    url: String(event.url),
    grpc: String(event.grpc),
    stopped: ended.then(([code]) => ({ code, event: events.find((one) => one.event === 'stopped') ?? null })),
    says: (pattern) =>
      new Promise((resolve) => {
        const look = () => {
          const line = said.find((one) => pattern.test(one))
          if (line === undefined) return
          listeners.delete(look)
          resolve(line)
        }
        listeners.add(look)
        look()
      }),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
