import { execFile, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const KAFKA_VERSION = '4.3.0'

/** Fewer jars than this means an install that broke off (the release has 91). */
const JARS_MIN = 60
/** Somebody who holds the lock touches it more often than this. */
const LOCK_STALE_MS = 60_000
const LOCK_TOUCH_MS = 10_000

/**
 * The folder with Kafka's jars, outside of the checkout; the first call on a machine fetches them with Maven. Safe when
 * several processes ask at once. Throws with the line to type when Java or Maven is missing and can't be installed.
 */
export async function installKafka(version = KAFKA_VERSION): Promise<string> {
  const home = join(homedir(), '.cache', 'forebay', `kafka-${version}`)
  const jars = join(home, 'libs')
  if (!(await complete(jars))) {
    await mkdir(home, { recursive: true })
    await withLock(join(home, 'lock'), async () => {
      if (!(await complete(jars))) await fetchJars(home, jars, version)
    })
  }
  requireCommand('java', 'default-jre-headless')
  return jars
}

async function fetchJars(home: string, jars: string, version: string): Promise<void> {
  requireCommand('mvn', 'maven')
  const work = await mkdtemp(join(home, 'fetch-'))
  try {
    await writeFile(join(work, 'pom.xml'), pom(version))
    const args = ['-q', '-B', '-f', join(work, 'pom.xml'), 'dependency:copy-dependencies']
    await run('mvn', [...args, `-DoutputDirectory=${join(work, 'libs')}`], { maxBuffer: 64 * 1024 * 1024 })
    await rm(jars, { recursive: true, force: true })
    await rename(join(work, 'libs'), jars)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function complete(jars: string): Promise<boolean> {
  const names = await readdir(jars).catch(() => [])
  return names.filter((name) => name.endsWith('.jar')).length >= JARS_MIN
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

function requireCommand(command: string, debianPackage: string): void {
  if (exists(command)) return
  if (process.getuid?.() === 0 && exists('apt-get')) {
    const options = { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } } as const
    spawnSync('apt-get', ['update', '-q'], options)
    spawnSync('apt-get', ['install', '-q', '-y', '--no-install-recommends', debianPackage], options)
  }
  if (!exists(command)) {
    throw new Error(`Kafka needs the command '${command}', which is missing. Try: apt-get install ${debianPackage}`)
  }
}

function exists(command: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', command], { stdio: 'ignore' }).status === 0
}

const yes = () => true
const no = () => false

const pom = (version: string) => `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>forebay</groupId>
  <artifactId>kafka-rig</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>${version}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>${version}</version>
    </dependency>
  </dependencies>
</project>
`
