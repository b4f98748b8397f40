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
  await requireCommands([[command, debianPackage]])
}

/** A command, or a file. */
export type DebianPackage = readonly [command: string, debianPackage: string]

/** The same for many, by one installation. */
export async function requireCommands(wanted: readonly DebianPackage[]): Promise<void> {
  const absent = missingOf(wanted)
  if (absent.length === 0) return
  if (isDebianRoot()) await install(absent)
  const left = missingOf(wanted)
  if (left.length === 0) return
  const why = isDebianRoot() ? 'could not be installed' : 'are missing, and only root may install them'
  throw new Error(`Programs that are needed ${why}. Try: apt-get install -y ${left.join(' ')}`)
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

function missingOf(wanted: readonly DebianPackage[]): string[] {
  return wanted.filter(([command]) => !exists(command)).map(([, debianPackage]) => debianPackage)
}

async function install(packages: readonly string[]): Promise<void> {
  const args = [...APT_OPTIONS, 'install', '-y', '--no-install-recommends']
  await refreshLists()
  // One that cannot be had keeps all of a call away: then each for itself.
  await run('apt-get', [...args, ...packages], { env: APT_ENV }).catch(async () => {
    for (const one of packages) await run('apt-get', [...args, one], { env: APT_ENV }).catch(() => {})
  })
}

function exists(command: string): boolean {
  if (command.startsWith('/')) return existsSync(command)
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` }
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', command], { stdio: 'ignore', env }).status === 0
}
