import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const HERE = import.meta.dirname
const PROTO = fileURLToPath(new URL('../../packages/protocol/proto', import.meta.url))
const WORKER_PROTO = 'forebay/worker/v1/worker.proto'

export interface PythonWorkerCommand {
  readonly command: string
  readonly args: readonly string[]
  /** To be added to the environment. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * How to start worker.py against a server. Makes what it needs first, outside the checkout: grpcio in an environment of
 * its own, and the code generated from our .proto. Later calls find both; either is made anew when its input changes.
 */
export async function pythonWorker(server: string, queue: string): Promise<PythonWorkerCommand> {
  const { stdout: version } = await run('python3', ['--version'])
  const requirements = await readFile(join(HERE, 'requirements.txt'), 'utf8')
  const environment = cached('venv', version, requirements)
  const python = join(environment, 'bin/python')
  await make(environment, async () => {
    // A virtual environment holds its own path: it can't be made elsewhere and moved.
    await rm(environment, { recursive: true, force: true })
    await run('python3', ['-m', 'venv', environment])
    await run(python, [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '-r',
      join(HERE, 'requirements.txt'),
    ])
  })
  const stubs = cached('stubs', requirements, await readFile(join(PROTO, WORKER_PROTO), 'utf8'))
  await make(stubs, async () => {
    const fresh = await mkdtemp(`${stubs}-`)
    const out = [`--python_out=${fresh}`, `--grpc_python_out=${fresh}`]
    await run(python, ['-m', 'grpc_tools.protoc', `-I${PROTO}`, ...out, WORKER_PROTO])
    await rm(stubs, { recursive: true, force: true })
    await rename(fresh, stubs)
  })
  return {
    command: python,
    args: ['-B', join(HERE, 'worker.py'), server, queue],
    env: { PYTHONPATH: stubs, PYTHONUNBUFFERED: '1' },
  }
}

export const hasPython = async () =>
  run('python3', ['-c', 'import venv, ensurepip']).then(
    () => true,
    () => false,
  )

function cached(kind: string, ...inputs: string[]): string {
  const hash = createHash('sha256').update(JSON.stringify(inputs)).digest('hex').slice(0, 12)
  return join(homedir(), '.cache/forebay/python', `${kind}-${hash}`)
}

/** What was begun and not finished, by a crash or without a network, is begun again. */
async function make(dir: string, build: () => Promise<void>): Promise<void> {
  const made = join(dir, '.made')
  if (existsSync(made)) return
  await mkdir(join(dir, '..'), { recursive: true })
  await build()
  await writeFile(made, '')
}
