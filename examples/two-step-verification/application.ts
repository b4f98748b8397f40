import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Rig, startProcess } from '../../scripts/rig/process.ts'

/** What the services are started with: their addresses, databases and keys. */
export interface Application {
  /** kafka://… or forebay://…, see service-process.ts. */
  readonly broker: string
  /** Keys, and the databases that are files. */
  readonly dir: string
  /** Default: files in `dir`. */
  readonly databases?: { readonly users?: string; readonly notifications?: string; readonly recommendations?: string }
  readonly smtp: string
  readonly userPort?: number
  /** From one address. Default: the service's own. */
  readonly requestsPerMinute?: number
}

export type ServiceName = 'user-service' | 'notification-service' | 'recommendation-service' | 'mail-catcher'

/** A service's process, when it has said that it is ready. */
export interface RunningService {
  readonly rig: Rig
  /** '' where nobody calls it. */
  readonly url: string
}

/** Starts one more process of a service; it ends with this one. */
export async function startService(
  name: Exclude<ServiceName, 'mail-catcher'>,
  application: Application,
): Promise<RunningService> {
  makeKeys(application.dir)
  return start(name, argumentsOf(name, application))
}

export async function startMailCatcher(
  args: readonly string[] = [],
): Promise<RunningService & { readonly smtp: string }> {
  const catcher = await start('mail-catcher', args)
  const [, smtp = ''] = await catcher.rig.line(/"smtp":"([^"]+)"/)
  return { ...catcher, smtp }
}

/** A key pair for codes on their way, and a pepper for codes at rest. Those that are there stay. */
export function makeKeys(dir: string): void {
  mkdirSync(dir, { recursive: true })
  if (existsSync(join(dir, PEPPER))) return
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2_048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  writeFileSync(join(dir, PRIVATE_KEY), privateKey, { mode: 0o600 })
  writeFileSync(join(dir, PUBLIC_KEY), publicKey)
  writeFileSync(join(dir, PEPPER), randomBytes(32), { mode: 0o600 })
}

const PEPPER = 'pepper'
const PUBLIC_KEY = 'mail-public.pem'
const PRIVATE_KEY = 'mail-private.pem'

function argumentsOf(name: ServiceName, application: Application): readonly string[] {
  const { broker, dir, databases = {}, smtp, userPort = 0, requestsPerMinute } = application
  const common = ['--broker', broker]
  if (name === 'user-service') {
    return [
      ...[...common, '--database', databases.users ?? join(dir, 'users.db'), '--port', String(userPort)],
      ...['--pepper-file', join(dir, PEPPER), '--mail-public-key-file', join(dir, PUBLIC_KEY)],
      ...(requestsPerMinute === undefined ? [] : ['--requests-per-minute', String(requestsPerMinute)]),
    ]
  }
  if (name === 'notification-service') {
    const database = databases.notifications ?? join(dir, 'notifications.db')
    return [...common, '--database', database, '--smtp', smtp, '--private-key-file', join(dir, PRIVATE_KEY)]
  }
  return [...common, '--database', databases.recommendations ?? join(dir, 'recommendations.db')]
}

async function start(name: ServiceName, args: readonly string[]): Promise<RunningService> {
  const main = fileURLToPath(new URL(`${name}/main.ts`, import.meta.url))
  const rig = startProcess({ name, command: process.execPath, args: [main, ...args] })
  try {
    const [, url = ''] = await rig.line(/"event":"started","url":(?:"([^"]*)"|null)/, STARTS_WITHIN_MS)
    return { rig, url }
  } catch (error) {
    // Not in time, and perhaps later: nobody would stop it then.
    await rig.stop()
    throw error
  }
}

const STARTS_WITHIN_MS = 60_000
