import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Sees to it that a command, or a file, exists, by Debian's package when we are root; throws the line to type otherwise. Looks in
 * the folders of servers (/usr/sbin) too, which are not on everybody's path.
 */
export async function requireCommand(command: string, debianPackage: string): Promise<void> {
  if (exists(command)) return
  if (isDebianRoot()) {
    await refreshLists()
    await run('apt-get', [...APT_OPTIONS, 'install', '-y', '--no-install-recommends', debianPackage], { env: APT_ENV })
  }
  if (!exists(command)) throw new Error(`'${command}' is missing. Try: apt-get install -y ${debianPackage}`)
}

/** Asks the archive for its current package lists. */
export async function refreshLists(): Promise<void> {
  await run('apt-get', [...APT_OPTIONS, 'update'], { env: APT_ENV })
}

export const isDebianRoot = () => process.getuid?.() === 0 && exists('apt-get')

/**
 * The files of Debian packages, unpacked into `dir` and not installed: nothing of the machine changes, and none of the
 * packages that they depend on come along.
 */
export async function unpackDebian(packages: readonly string[], dir: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'forebay-deb-'))
  try {
    const download = () => run('apt-get', [...APT_OPTIONS, 'download', ...packages], { cwd: work, env: APT_ENV })
    // Lists that are missing, or older than the archive, name files that it has no more.
    await download().catch(async (error) => {
      if (!isDebianRoot()) throw error
      await refreshLists()
      await download()
    })
    for (const file of await readdir(work)) await run('dpkg-deb', ['-x', join(work, file), dir])
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Another apt may be at work on this machine: wait for it. */
const APT_OPTIONS = ['-q', '-o', 'DPkg::Lock::Timeout=120', '-o', 'APT::Sandbox::User=root']
const APT_ENV = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }

function exists(command: string): boolean {
  if (command.startsWith('/')) return existsSync(command)
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` }
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', command], { stdio: 'ignore', env }).status === 0
}
