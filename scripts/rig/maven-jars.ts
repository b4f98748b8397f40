import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface MavenJars {
  /** Of the folder under ~/.cache/forebay; says the version. */
  readonly name: string
  /** `group:artifact:version`. */
  readonly artifacts: readonly string[]
  /** `group:artifact` of what these need and somebody else brings; an artifact may be `*`. */
  readonly without?: readonly string[]
  /** Fewer jars than this means an install that broke off. */
  readonly jarsMin: number
}

/** Somebody who holds the lock touches it more often than this. */
const LOCK_STALE_MS = 60_000
const LOCK_TOUCH_MS = 10_000

/**
 * The folder with these jars and what they need, outside of the checkout; the first call on a machine fetches them with Maven,
 * which must be there by then. Safe when several processes ask at once.
 */
export async function mavenJars(wanted: MavenJars, beforeFetching: () => void = () => {}): Promise<string> {
  const home = join(homedir(), '.cache', 'forebay', wanted.name)
  const jars = join(home, 'libs')
  if (await complete(jars, wanted)) return jars
  await mkdir(home, { recursive: true })
  await withLock(join(home, 'lock'), async () => {
    if (await complete(jars, wanted)) return
    beforeFetching()
    await fetchJars(home, jars, wanted)
  })
  return jars
}

async function fetchJars(home: string, jars: string, wanted: MavenJars): Promise<void> {
  const work = await mkdtemp(join(home, 'fetch-'))
  try {
    await writeFile(join(work, 'pom.xml'), pom(wanted))
    const args = ['-q', '-B', '-f', join(work, 'pom.xml'), 'dependency:copy-dependencies']
    await run('mvn', [...args, `-DoutputDirectory=${join(work, 'libs')}`], { maxBuffer: 64 * 1024 * 1024 })
    await rm(jars, { recursive: true, force: true })
    await rename(join(work, 'libs'), jars)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function complete(jars: string, { jarsMin }: MavenJars): Promise<boolean> {
  const names = await readdir(jars).catch(() => [])
  return names.filter((name) => name.endsWith('.jar')).length >= jarsMin
}

/** A folder is the lock: making one is atomic on every file system. */
async function withLock(path: string, work: () => Promise<void>): Promise<void> {
  while (!(await mkdir(path).then(yes, no))) {
    const age = Date.now() - (await stat(path).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs
    if (age > LOCK_STALE_MS) await rm(path, { recursive: true, force: true })
    else await sleep(250)
  }
  const touch = setInterval(() => void utimes(path, new Date(), new Date()).catch(no), LOCK_TOUCH_MS)
  try {
    await work()
  } finally {
    clearInterval(touch)
    await rm(path, { recursive: true, force: true })
  }
}

const yes = () => true
const no = () => false

function pom({ name, artifacts, without = [] }: MavenJars): string {
  const exclusions = without.map(
    (one) => `<exclusion>${elements(['groupId', 'artifactId'], one.split(':'))}</exclusion>`,
  )
  const dependencies = artifacts.map(
    (one) =>
      `<dependency>${elements(['groupId', 'artifactId', 'version'], one.split(':'))}
      <exclusions>${exclusions.join('')}</exclusions></dependency>`,
  )
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  ${elements(['groupId', 'artifactId', 'version'], ['forebay', name, '1'])}
  <dependencies>${dependencies.join('\n')}</dependencies>
</project>
`
}

const elements = (names: readonly string[], texts: readonly string[]) =>
  names.map((name, at) => `<${name}>${texts[at]}</${name}>`).join('')
