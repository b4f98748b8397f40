import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, startProcess } from './process.ts'

/** A real PgBouncer in transaction mode: a connection to the server serves whoever has a transaction at the moment. */
export interface PgBouncer extends AsyncDisposable {
  /** As the server's own, through the pooler. */
  readonly url: string
  readonly pid: number
}

/** Whether this machine has it. Debian's package is `pgbouncer`. */
export const hasPgBouncer = () => existsSync(COMMAND)

/** In front of the server at `url`, with a pool of so many connections to it (default 4). */
export async function startPgBouncer(url: string, poolSize = 4): Promise<PgBouncer> {
  if (!hasPgBouncer()) throw new Error('PgBouncer is not installed: apt-get install -y pgbouncer')
  const server = new URL(url)
  const port = await freePort()
  const dir = await mkdtemp(join(tmpdir(), 'forebay-pgbouncer-'))
  const configFile = join(dir, 'pgbouncer.ini')
  const usersFile = join(dir, 'users.txt')
  await writeFile(usersFile, `"${server.username}" "${server.password}"\n`)
  await writeFile(configFile, configuration(server, port, usersFile, poolSize))
  // It refuses to run as root, and the folder is root's.
  for (const path of [dir, configFile, usersFile]) await chmod(path, path === dir ? 0o755 : 0o644)
  const isRoot = process.getuid?.() === 0
  const pooler = startProcess({
    name: 'pgbouncer',
    command: isRoot ? '/usr/bin/setpriv' : COMMAND,
    args: isRoot
      ? ['--reuid=nobody', '--regid=nogroup', '--clear-groups', '--pdeathsig=KILL', '--', COMMAND, configFile]
      : [configFile],
  })
  const close = async () => {
    await pooler.stop()
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await pooler.listens(port)
  } catch (error) {
    await close()
    throw error
  }
  const through = new URL(url)
  through.port = String(port)
  return { url: through.href, pid: pooler.pid, [Symbol.asyncDispose]: close }
}

const COMMAND = '/usr/sbin/pgbouncer'

function configuration(server: URL, port: number, usersFile: string, poolSize: number): string {
  return `[databases]
* = host=${server.hostname} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${usersFile}
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 1000
log_connections = 0
log_disconnections = 0
`
}
