import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { freePort, type Rig, startProcess } from './process.ts'

export interface RedisOptions {
  /** Default: a free port. */
  readonly port?: number
  /** Kept at the end, and used again when it has data. Default: a temporary folder, removed at the end. */
  readonly dataDir?: string
  /** Server settings, as in `maxmemory-policy`; they win over ours. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A real Redis on loopback, with an append-only file. It ends with the process that started it. */
export interface Redis extends AsyncDisposable {
  /** redis://:password@host:port/0; the same after a restart. */
  readonly url: string
  readonly port: number
  /** Null while it does not run. */
  readonly pid: number | null
  stop(): Promise<void>
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>
  /** SIGSTOP: alive for the network, dead for its clients. */
  pause(): void
  resume(): void
  /** Starts it again on the same port and data, and waits until it answers. Does nothing while it runs. */
  restart(): Promise<void>
}

/** Whether this machine has the server. Debian's package is `redis-server`. */
export const hasRedis = () => existsSync(COMMAND)

export async function startRedis(options: RedisOptions = {}): Promise<Redis> {
  if (!hasRedis()) throw new Error('Redis is not installed: apt-get install -y redis-server')
  const port = options.port ?? (await freePort())
  const dir = resolve(options.dataDir ?? (await mkdtemp(join(tmpdir(), 'forebay-redis-'))))
  const settings = { ...SETTINGS, port: String(port), dir, ...options.settings }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  let server: Rig | null = null

  const start = async () => {
    const starting = startProcess({ name: 'redis', command: COMMAND, args })
    server = starting
    await starting.line(/Ready to accept connections/)
  }
  const end = async (signal: NodeJS.Signals) => {
    const running = server
    server = null
    running?.signal('SIGCONT')
    running?.signal(signal)
    await running?.exited
  }
  const close = async () => {
    await end('SIGKILL')
    if (options.dataDir === undefined) await rm(dir, { recursive: true, force: true })
  }

  try {
    await start()
  } catch (error) {
    await close()
    throw error
  }
  return {
    url: `redis://:${PASSWORD}@127.0.0.1:${port}/0`,
    port,
    get pid() {
      return server?.pid ?? null
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => server?.signal('SIGSTOP'),
    resume: () => server?.signal('SIGCONT'),
    async restart() {
      if (server === null) await start()
    },
    [Symbol.asyncDispose]: close,
  }
}

const COMMAND = '/usr/bin/redis-server'
const PASSWORD = 'forebay-rig'

const SETTINGS = {
  bind: '127.0.0.1',
  requirepass: PASSWORD,
  appendonly: 'yes',
  appendfsync: 'everysec',
  save: '',
}
