import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { KAFKA_VERSION } from '../scripts/rig/install-kafka.ts'

/** On what a run was made; without it no figure means anything. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly kernel: string
  readonly versions: Readonly<Record<string, string>>
  /** Of Forebay; '+' when files differ from it. */
  readonly commit: string
}

export function describeMachine(): Machine {
  const processors = cpus()
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    versions: {
      node: process.version,
      kafka: KAFKA_VERSION,
      java: firstLine('java', ['-version']),
      wrk: firstLine('wrk', ['-v']),
      ...Object.fromEntries(LIBRARIES.map((name) => [name, libraryVersion(name)])),
    },
    commit: firstLine('git', ['describe', '--always', '--dirty=+', '--abbrev=10']),
  }
}

const LIBRARIES = ['@platformatic/kafka', '@grpc/grpc-js', 'fastify']

/** Some of these tell their version on stderr, and end with an error. */
function firstLine(command: string, args: readonly string[]): string {
  const script = '"$0" "$@" 2>&1 || true'
  const output = execFileSync('sh', ['-c', script, command, ...args], { encoding: 'utf8', cwd: import.meta.dirname })
  return output.split('\n')[0]!.trim()
}

function libraryVersion(name: string): string {
  const file = new URL(`../node_modules/${name}/package.json`, import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
