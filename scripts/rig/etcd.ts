import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, startProcess } from './process.ts'

/** One real etcd server on free ports with its data in a temporary folder. */
export interface EtcdRig extends AsyncDisposable {
  /** 'host:port' for clients, gRPC and HTTP alike. */
  readonly address: string
  readonly pid: number
  /** As it prints it itself: '3.4.23'. */
  readonly version: string
  stop(): Promise<void>
}

/** Whether this machine has etcd. Debian's package is `etcd-server`. */
export const hasEtcd = () => ETCD_COMMANDS.some(existsSync)

export async function startEtcd(): Promise<EtcdRig> {
  const command = ETCD_COMMANDS.find(existsSync)
  if (command === undefined) throw new Error('etcd is not installed: apt-get install -y etcd-server')
  const dir = await mkdtemp(join(tmpdir(), 'forebay-etcd-'))
  const [clientPort, peerPort] = [await freePort(), await freePort()]
  const client = `http://127.0.0.1:${clientPort}`
  const peer = `http://127.0.0.1:${peerPort}`
  const etcd = startProcess({
    name: 'etcd',
    command,
    args: [
      ['--name', 'rig'],
      ['--data-dir', dir],
      ['--listen-client-urls', client],
      ['--advertise-client-urls', client],
      ['--listen-peer-urls', peer],
      ['--initial-advertise-peer-urls', peer],
      ['--initial-cluster', `rig=${peer}`],
      ['--logger', 'zap'],
    ].flat(),
  })
  const stop = async () => {
    await etcd.stop()
    await rm(dir, { recursive: true, force: true })
  }
  try {
    // It opens its port before it has elected itself; this is the line it prints when it serves.
    await etcd.line(/serving insecure client requests|serving client traffic insecurely/)
    const answer = await fetch(`${client}/version`)
    const { etcdserver } = (await answer.json()) as { etcdserver: string }
    return { address: `127.0.0.1:${clientPort}`, pid: etcd.pid, version: etcdserver, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const ETCD_COMMANDS = ['/usr/bin/etcd', '/usr/local/bin/etcd']
