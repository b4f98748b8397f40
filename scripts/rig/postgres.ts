import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort, type Rig, startProcess } from './process.ts'

export interface PostgresOptions {
  /** Default: a free port. */
  readonly port?: number
  /** Kept at the end, and used again when it has data. Default: a temporary folder, removed at the end. */
  readonly dataDir?: string
  /** Server settings; they win over ours. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A real PostgreSQL on loopback. It ends with the process that started it, however that one ends. */
export interface Postgres extends AsyncDisposable {
  /** postgres://user:password@host:port/database, of a superuser; the same after a restart. */
  readonly url: string
  readonly port: number
  /** Of the server's first process; null while it does not run. */
  readonly pid: number | null
  /** As it prints it itself: '15.18'. */
  readonly version: string
  /** Ends its connections and itself in good order. */
  stop(): Promise<void>
  /** SIGKILL to all of its processes at once, and waits for their end. */
  kill(): Promise<void>
  /** SIGSTOP to all of its processes: alive for the network, dead for its clients. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Starts it again on the same port and data, and waits until it answers. Does nothing while it runs. */
  restart(): Promise<void>
}

/** Whether this machine has the server. Debian's package is `postgresql`. */
export const hasPostgres = async () => (await binaries()) !== null

export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const bin = await binaries()
  if (bin === null) throw new Error('PostgreSQL is not installed: apt-get install -y postgresql')
  const port = options.port ?? (await freePort())
  const dir = resolve(options.dataDir ?? (await mkdtemp(join(tmpdir(), 'forebay-postgres-'))))
  const settings = { ...SETTINGS, port: String(port), ...options.settings }
  const args = ['-D', dir, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
  let server: Rig | null = null

  const start = async () => {
    const starting = startProcess({ name: 'postgres', ...asServer(join(bin, 'postgres'), args) })
    server = starting
    await starting.line(/ready to accept connections/, READY_WITHIN_MS)
  }
  const end = async (how: (running: Rig) => Promise<void>) => {
    const running = server
    server = null
    if (running === null) return
    await how(running)
    await running.exited
  }
  const close = async () => {
    await end(endAtOnce)
    if (options.dataDir === undefined) await rm(dir, { recursive: true, force: true })
  }

  try {
    if (!existsSync(join(dir, 'PG_VERSION'))) await initialise(bin, dir)
    await start()
  } catch (error) {
    await close()
    throw error
  }
  return {
    url: `postgres://${USER}:${PASSWORD}@127.0.0.1:${port}/postgres`,
    port,
    version: await versionOf(bin),
    get pid() {
      return server?.pid ?? null
    },
    stop: () => end(async (running) => running.signal('SIGINT')),
    kill: () => end(killAll),
    async pause() {
      if (server !== null) await stopAll(server.pid)
    },
    async resume() {
      if (server !== null) await continueAll(server.pid)
    },
    async restart() {
      if (server === null) await start()
    },
    [Symbol.asyncDispose]: close,
  }
}

const USER = 'forebay'
const PASSWORD = 'forebay-rig'
const READY_WITHIN_MS = 60_000
const POLL_MS = 5

/** As Debian's defaults, but for loopback and small machines. Flushing stays on: crashes are what this is for. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '64MB',
  log_min_messages: 'warning',
}

async function initialise(bin: string, dir: string): Promise<void> {
  await mkdir(dir, { recursive: true })
  const owner = await serverUser()
  if (owner !== null) await chown(dir, owner.uid, owner.gid)
  const passwordFile = join(await mkdtemp(join(tmpdir(), 'forebay-postgres-init-')), 'password')
  try {
    await writeFile(passwordFile, PASSWORD)
    const { command, args } = asServer(join(bin, 'initdb'), [
      ...['-D', dir, '-U', USER, `--pwfile=${passwordFile}`],
      ...['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'],
    ])
    await promisify(execFile)(command, args, { env: { ...process.env, LC_ALL: 'C' } })
  } finally {
    await rm(join(passwordFile, '..'), { recursive: true, force: true })
  }
}

/**
 * PostgreSQL refuses to run as root. The capability lets its own user through folders that are root's alone, as
 * temporary ones are; the death signal does not survive the change of user, so it is set once more.
 */
function asServer(command: string, args: readonly string[]): { command: string; args: string[] } {
  if (process.getuid?.() !== 0) return { command, args: [...args] }
  const identity = ['--reuid=postgres', '--regid=postgres', '--init-groups', '--pdeathsig=KILL']
  const capability = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override']
  return { command: '/usr/bin/setpriv', args: [...identity, ...capability, '--', command, ...args] }
}

async function serverUser(): Promise<{ uid: number; gid: number } | null> {
  if (process.getuid?.() !== 0) return null
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find((one) => one.startsWith('postgres:'))
  if (line === undefined) throw new Error("There is no user 'postgres' on this machine: apt-get install -y postgresql")
  const [, , uid, gid] = line.split(':')
  return { uid: Number(uid), gid: Number(gid) }
}

/** The newest version's, where Debian puts them. */
async function binaries(): Promise<string | null> {
  const versions = await readdir(DEBIAN_HOME).catch(() => [])
  const newest = versions.filter((name) => /^\d+$/.test(name)).sort((a, b) => Number(b) - Number(a))
  return newest.map((name) => join(DEBIAN_HOME, name, 'bin')).find((dir) => existsSync(join(dir, 'postgres'))) ?? null
}

const DEBIAN_HOME = '/usr/lib/postgresql'

async function versionOf(bin: string): Promise<string> {
  const { stdout } = await promisify(execFile)(join(bin, 'postgres'), ['--version'])
  return stdout.match(/\d+(\.\d+)+/)?.[0] ?? stdout.trim()
}

/** In less good order than SIGINT, but its children are waited for by itself: pid 1 of a container may not do that. */
async function endAtOnce(running: Rig): Promise<void> {
  await continueAll(running.pid)
  running.signal('SIGQUIT')
}

/** Stopped first, so that none is forked meanwhile and nobody tidies up; what is left of its memory would bar a restart. */
async function killAll(running: Rig): Promise<void> {
  const pids = await stopAll(running.pid)
  for (const pid of pids) signal(pid, 'SIGKILL')
  for (const pid of pids) while (await lives(pid)) await sleep(POLL_MS)
}

/** Resolves with all of its process ids, its first process last. */
async function stopAll(pid: number): Promise<number[]> {
  signal(pid, 'SIGSTOP')
  const children = await childrenOf(pid)
  for (const child of children) signal(child, 'SIGSTOP')
  return [...children, pid]
}

async function continueAll(pid: number): Promise<void> {
  for (const one of [...(await childrenOf(pid)), pid]) signal(one, 'SIGCONT')
}

async function childrenOf(pid: number): Promise<number[]> {
  const list = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return list.trim().split(' ').filter(Boolean).map(Number)
}

/** One that ended and that nobody has asked about is still listed, as a zombie. */
async function lives(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ' Z')
  return stat.slice(stat.lastIndexOf(')') + 1).trimStart()[0] !== 'Z'
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended already.
  }
}
