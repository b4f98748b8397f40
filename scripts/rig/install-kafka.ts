import { spawnSync } from 'node:child_process'
import { mavenJars } from './maven-jars.ts'

export const KAFKA_VERSION = '4.3.0'

/** The release has 91. */
const JARS_MIN = 60

/**
 * The folder with Kafka's jars, outside of the checkout; the first call on a machine fetches them with Maven. Safe when
 * several processes ask at once. Throws with the line to type when Java or Maven is missing and can't be installed.
 */
export async function installKafka(version = KAFKA_VERSION): Promise<string> {
  const artifacts = [`org.apache.kafka:kafka_2.13:${version}`, `org.apache.kafka:kafka-tools:${version}`]
  const jars = await mavenJars({ name: `kafka-${version}`, artifacts, jarsMin: JARS_MIN }, () =>
    requireCommand('mvn', 'maven'),
  )
  requireCommand('java', 'default-jre-headless')
  return jars
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
