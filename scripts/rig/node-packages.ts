import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** npm puts the folders of the checkout before all others: there `node` would be the pinned one. */
export const MACHINES_OWN = {
  ...process.env,
  PATH: (process.env.PATH ?? '')
    .split(':')
    .filter((folder) => !folder.includes('node_modules'))
    .join(':'),
}

export interface NodePackagesOptions {
  /** Whether their own install scripts run, which may build programs. Default false. */
  readonly scripts?: boolean
  readonly env?: Readonly<Record<string, string>>
}

/**
 * The folder of an installation of exactly these packages (name@version), outside the checkout and for the Node of the
 * machine: for peers that we are compared with and do not use. Made on the first call, found on later ones; several
 * processes may make it at once. Rejects when it cannot be made.
 */
export async function nodePackages(packages: readonly string[], options: NodePackagesOptions = {}): Promise<string> {
  const { scripts = false, env = {} } = options
  const { stdout: version } = await run('node', ['--version'], { env: MACHINES_OWN })
  const name = createHash('sha256')
    .update(JSON.stringify([version, packages, scripts, env]))
    .digest('hex')
    .slice(0, 12)
  const folder = join(homedir(), '.cache/forebay/node')
  const pointer = join(folder, `packages-${name}.path`)
  const found = await readFile(pointer, 'utf8').catch(() => null)
  if (found !== null && existsSync(found)) return found
  await mkdir(folder, { recursive: true })
  const fresh = await mkdtemp(join(folder, `packages-${name}-`))
  await writeFile(join(fresh, 'package.json'), '{ "private": true }\n')
  const flags = scripts ? [] : ['--ignore-scripts']
  await run('npm', ['install', '--no-audit', '--no-fund', ...flags, ...packages], {
    cwd: fresh,
    env: { ...MACHINES_OWN, ...env },
    maxBuffer: 64 * 1024 * 1024,
  })
  await writeFile(`${fresh}.path`, fresh)
  await rename(`${fresh}.path`, pointer)
  return fresh
}
