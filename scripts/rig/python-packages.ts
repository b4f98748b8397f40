import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Whether this machine has a Python that can make environments. Debian's package is `python3-venv`. */
export const hasPython = async () =>
  run('python3', ['-c', 'import venv, ensurepip']).then(
    () => true,
    () => false,
  )

/**
 * The folder of a Python environment with exactly these packages, outside the checkout: made on the first call, found
 * on later ones. Several processes may make it at once (an environment holds its own path and can't be moved, so each
 * makes one of its own); the last to finish is what all use from then on.
 */
export async function pythonPackages(packages: readonly string[]): Promise<string> {
  return made(packages, async (fresh) => {
    const pip = join(await made(['pip alone'], (folder) => run('python3', ['-m', 'venv', folder])), 'bin/python')
    await run('python3', ['-m', 'venv', '--without-pip', fresh])
    const into = [
      '-m',
      'pip',
      '--python',
      join(fresh, 'bin/python'),
      'install',
      '--quiet',
      '--disable-pip-version-check',
    ]
    await run(pip, [...into, ...packages])
  })
}

/** Putting pip into an environment takes seconds, so one has it and fills the others. */
async function made(content: readonly string[], make: (folder: string) => Promise<unknown>): Promise<string> {
  const { stdout: version } = await run('python3', ['--version'])
  const name = createHash('sha256')
    .update(JSON.stringify([version, content]))
    .digest('hex')
    .slice(0, 12)
  const folder = join(homedir(), '.cache/forebay/python')
  const pointer = join(folder, `packages-${name}`)
  const found = await environmentAt(pointer)
  if (found !== null) return found
  await mkdir(folder, { recursive: true })
  const fresh = await mkdtemp(`${pointer}-`)
  await make(fresh)
  await writeFile(`${fresh}.path`, fresh)
  await rename(`${fresh}.path`, `${pointer}.path`)
  return fresh
}

/** Null where none was made, or its folder was removed since. */
async function environmentAt(pointer: string): Promise<string | null> {
  const environment = await readFile(`${pointer}.path`, 'utf8').catch(() => null)
  return environment !== null && existsSync(join(environment, 'bin/python')) ? environment : null
}
