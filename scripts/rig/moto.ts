import { join } from 'node:path'
import { freePort, type Rig, startProcess } from './process.ts'
import { hasPython, pythonPackages } from './python-packages.ts'

/** A real server that speaks S3 (and SQS, SNS, …): moto, from PyPI. Its data is in memory and ends with it. */
export interface MotoRig extends AsyncDisposable {
  /** 'http://127.0.0.1:port' */
  readonly endpoint: string
  readonly port: number
  readonly pid: number
  /** SIGSTOP leaves it deaf, SIGCONT wakes it. */
  signal(signal: NodeJS.Signals): void
  stop(): Promise<void>
}

export interface MotoOptions {
  /** To start again where one was stopped. Default: a free one. */
  readonly port?: number
  /** Requests that are served without a look at their credentials; later ones need keys that it knows. Default: all. */
  readonly uncheckedRequests?: number
}

export const hasMoto = hasPython

/** The folder of its Python environment; the first call on a machine fetches it. */
export const installMoto = () => pythonPackages(['moto[server]==5.2.5'])

export async function startMoto(options: MotoOptions = {}): Promise<MotoRig> {
  const environment = await installMoto()
  const port = options.port ?? (await freePort())
  const { uncheckedRequests } = options
  const moto: Rig = startProcess({
    name: 'moto',
    command: join(environment, 'bin/moto_server'),
    args: ['-H', '127.0.0.1', '-p', String(port)],
    env: uncheckedRequests === undefined ? {} : { INITIAL_NO_AUTH_ACTION_COUNT: String(uncheckedRequests) },
  })
  const stop = async () => {
    // It holds nothing that an orderly end would save.
    await moto.stop(0)
  }
  try {
    await moto.listens(port)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    endpoint: `http://127.0.0.1:${port}`,
    port,
    pid: moto.pid,
    signal: (signal) => moto.signal(signal),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
