import { ForebayError } from '@forebay/protocol'
import type { Connection } from './connection.ts'

/**
 * Refuses, as CONFIG_INVALID, a server that would lose what it was given without a fault: one that evicts keys when its
 * memory is full, one that is a replica, a Cluster, or too old for what the scripts do.
 */
export async function checkServer(connection: Connection): Promise<void> {
  try {
    const facts = parseInfo(String(await connection.ask('INFO')))
    const fault = faultOf(facts)
    if (fault === null) return
    throw new ForebayError('CONFIG_INVALID', `Redis at ${connection.address} ${fault}`)
  } catch (error) {
    connection.destroy()
    throw error
  }
}

const MAJOR_MIN = 7

function faultOf(facts: ReadonlyMap<string, string>): string | null {
  const version = facts.get('redis_version') ?? '0'
  const policy = facts.get('maxmemory_policy')
  if (Number.parseInt(version, 10) < MAJOR_MIN) return `is of version ${version}; ${MAJOR_MIN} or newer is needed.`
  if (facts.get('cluster_enabled') === '1') return 'is part of a Redis Cluster; name a server on its own.'
  if (facts.get('role') === 'slave') return 'is a replica, which takes no writes; name its primary.'
  if (policy !== 'noeviction') {
    return `evicts keys when its memory is full (maxmemory-policy ${policy}), answers among them; set it to noeviction.`
  }
  return null
}

function parseInfo(info: string): ReadonlyMap<string, string> {
  return new Map(
    info.split('\r\n').flatMap((line) => {
      const colon = line.indexOf(':')
      return colon <= 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1)] as const]
    }),
  )
}
