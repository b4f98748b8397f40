import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, type Rig, startProcess } from '../../../../scripts/rig/process.ts'
import { cleanEnvironment } from '../../../cli/test/run-forebay.ts'

export interface ForebayServer extends AsyncDisposable {
  /** Of its gRPC door; the same after a restart. */
  readonly address: string
  kill(): Promise<void>
  restart(): Promise<void>
  /** As an operator does it. */
  stop(): Promise<void>
}

const MAIN = fileURLToPath(new URL('../../../cli/src/main.ts', import.meta.url))

/** A real `forebay up` on the embedded log, in a folder of its own. */
export async function startForebay(yaml = ''): Promise<ForebayServer> {
  const folder = await mkdtemp(join(tmpdir(), 'forebay-remote-'))
  const [http, grpc] = [await freePort(), await freePort()]
  const listen = `http: { listen: '127.0.0.1:${http}' }\ngrpc: { listen: '127.0.0.1:${grpc}' }\n`
  await writeFile(join(folder, 'forebay.yaml'), `${listen}${yaml === '' ? 'queues: { echo: {} }\n' : yaml}`)
  let rig: Rig = await start()

  async function start(): Promise<Rig> {
    const env = { ...cleanEnvironment() }
    const started = startProcess({
      name: 'forebay up',
      command: process.execPath,
      args: [MAIN, 'up', '--json'],
      cwd: folder,
      env,
    })
    await started.line(/"event":"started"/, 60_000)
    return started
  }

  return {
    address: `127.0.0.1:${grpc}`,
    async kill() {
      rig.signal('SIGKILL')
      await rig.exited
    },
    async restart() {
      rig = await start()
    },
    async stop() {
      await rig.stop()
    },
    async [Symbol.asyncDispose]() {
      await rig.stop(2_000)
      await rm(folder, { recursive: true, force: true })
    },
  }
}
