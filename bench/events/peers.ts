import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { basename, join } from 'node:path'
import { requireCommand } from '../../scripts/rig/debian.ts'
import { MACHINES_OWN, nodePackages } from '../../scripts/rig/node-packages.ts'

/** How a client that is compared is started; `args` come after BOOTSTRAP TOPIC SECONDS. */
export interface Peer {
  readonly name: string
  readonly command: string
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

const KAFKAJS = 'kafkajs@2.2.4'
const CONFLUENT = '@confluentinc/kafka-javascript@1.10.1'
const PEER_FILE = join(import.meta.dirname, 'kafkajs-producer.ts')

export async function kafkajs(): Promise<Peer> {
  const folder = await nodePackages([KAFKAJS])
  const env = { KAFKAJS_NO_PARTITIONER_WARNING: '1' }
  return {
    name: KAFKAJS,
    command: process.execPath,
    file: PEER_FILE,
    args: [join(folder, 'node_modules/kafkajs')],
    env,
  }
}

/**
 * Confluent's client, built on the first call with what Debian has (some minutes) and run with the Node of the machine, for
 * which there are headers: what its own installation would fetch ready-made comes from elsewhere than the registry. A
 * sentence where that cannot be done.
 */
export async function confluent(): Promise<Peer | string> {
  try {
    for (const [command, debianPackage] of BUILD_TOOLS) await requireCommand(command, debianPackage)
    const folder = await nodePackages([CONFLUENT], { scripts: true, env: { CKJS_LINKING: 'dynamic' } })
    const module = join(folder, 'node_modules/@confluentinc/kafka-javascript')
    return {
      name: CONFLUENT,
      command: 'node',
      file: withoutTypes(folder),
      args: [module],
      env: { PATH: MACHINES_OWN.PATH },
    }
  } catch (error) {
    return `${CONFLUENT} is left out, it cannot be built here: ${(error as Error).message.split('\n')[0]}`
  }
}

const BUILD_TOOLS = [
  ['g++', 'g++'],
  ['make', 'make'],
  ['curl-config', 'libcurl4-openssl-dev'],
] as const

/** The same program for a Node that does not strip types itself, beside the package. */
function withoutTypes(folder: string): string {
  const programs = join(folder, 'programs')
  mkdirSync(programs, { recursive: true })
  for (const file of ['kafkajs-producer.ts', 'run-loads.ts', 'event-client.ts', '../percentiles.ts']) {
    const text = stripTypeScriptTypes(readFileSync(join(import.meta.dirname, file), 'utf8'))
    writeFileSync(nameOf(file), text.replace(/from '[./]+([\w-]+)\.ts'/g, "from './$1.mjs'"))
  }
  return nameOf('kafkajs-producer.ts')

  function nameOf(file: string): string {
    return join(programs, basename(file, '.ts').concat('.mjs'))
  }
}
