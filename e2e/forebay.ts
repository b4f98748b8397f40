import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, type Rig, startProcess } from '../scripts/rig/process.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** One real `forebay up`, killed and started again at will on the same ports and data. */
export interface Forebay extends AsyncDisposable {
  readonly url: string
  /** Where workers dial in. */
  readonly grpc: string
  readonly dir: string
  readonly rig: Rig
  kill9(): Promise<void>
  stop(): Promise<{ code: number | null; output: string }>
  start(): Promise<void>
}

export interface ForebayOptions {
  /** Written as forebay.yaml; `data` and the listeners are filled in. */
  readonly config: Readonly<Record<string, unknown>>
  readonly roles?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export async function startForebay(options: ForebayOptions): Promise<Forebay> {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-e2e-'))
  const [http, grpc] = [await freePort(), await freePort()]
  const file = join(dir, 'forebay.yaml')
  const config = {
    data: join(dir, 'data'),
    ...options.config,
    http: { ...section(options.config.http), listen: `127.0.0.1:${http}` },
    grpc: { ...section(options.config.grpc), listen: `127.0.0.1:${grpc}` },
  }
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config, null, 2))
  const url = `http://127.0.0.1:${http}`
  const run = () =>
    startProcess({
      name: `forebay ${options.roles?.join(',') ?? ''}`,
      command: process.execPath,
      args: [
        join(ROOT, 'packages/cli/src/main.ts'),
        'up',
        '--json',
        '--config',
        file,
        ...(options.roles ? ['--roles', options.roles.join(',')] : []),
      ],
      env: { ...options.env },
    })
  let rig = run()
  const ready = () => rig.line(/"event":"started"/, READY_WITHIN_MS)
  await ready()
  return {
    url,
    grpc: `127.0.0.1:${grpc}`,
    dir,
    get rig() {
      return rig
    },
    async kill9() {
      rig.signal('SIGKILL')
      await rig.exited
    },
    async stop() {
      const { code } = await rig.stop(30_000)
      return { code, output: rig.output() }
    },
    async start() {
      rig = run()
      await ready()
    },
    async [Symbol.asyncDispose]() {
      await rig.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

const READY_WITHIN_MS = 60_000

function section(given: unknown): object {
  return typeof given === 'object' && given !== null ? given : {}
}

/** A real worker process on the SDK; what it runs is in worker.ts beside this file. */
export function startWorker(options: { server: string; queue: string; ledger: string; delayMs?: number }): Rig {
  return startProcess({
    name: `worker ${options.queue}`,
    command: process.execPath,
    args: [
      fileURLToPath(new URL('worker.ts', import.meta.url)),
      options.server,
      options.queue,
      options.ledger,
      String(options.delayMs ?? 0),
    ],
  })
}
