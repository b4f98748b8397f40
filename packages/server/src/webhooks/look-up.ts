import { lookup, promises } from 'node:dns'

/**
 * The addresses of a name, all of them. Rejects when there are none; the message is for those who read the delivery log.
 * `system`: as this machine looks names up (its hosts file, its search domains); else by DNS alone.
 */
export type LookUp = (hostname: string, system: boolean, signal: AbortSignal) => Promise<readonly HostAddress[]>

export interface HostAddress {
  readonly address: string
  readonly family: 4 | 6
}

/**
 * Names that strangers chose are asked of DNS itself: the system's way works on a few threads that the whole process
 * shares, and names that are never answered would hold them all.
 *
 * @param servers 'address' or 'address:port'; empty: the system's.
 */
export function createLookUp(servers: readonly string[]): LookUp {
  return async (hostname, system, signal) => {
    if (system) return systemLookUp(hostname)
    // One for each question, so that calling one off leaves the others alone.
    const resolver = new promises.Resolver({ timeout: QUESTION_MS, tries: QUESTION_TRIES })
    if (servers.length > 0) resolver.setServers(servers)
    const cancel = () => resolver.cancel()
    signal.addEventListener('abort', cancel, { once: true })
    try {
      const [four, six] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)])
      signal.throwIfAborted()
      const found = [...addressesOf(four, 4), ...addressesOf(six, 6)]
      if (found.length === 0) throw nothingFound(four, six)
      return found
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }
}

const QUESTION_MS = 2_000
const QUESTION_TRIES = 2

function systemLookUp(hostname: string): Promise<readonly HostAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(hostname, { all: true }, (error, found) => {
      if (error === null) resolve(found as readonly HostAddress[])
      else reject(new Error(sayOf(error.code)))
    })
  })
}

function addressesOf(answer: PromiseSettledResult<readonly string[]>, family: 4 | 6): HostAddress[] {
  return answer.status === 'rejected' ? [] : answer.value.map((address) => ({ address, family }))
}

function nothingFound(...answers: readonly PromiseSettledResult<unknown>[]): Error {
  const codes = answers.map((one) =>
    one.status === 'rejected' ? (one.reason as NodeJS.ErrnoException).code : 'ENODATA',
  )
  // That there is no address of one family says nothing where the other could not be asked for.
  return new Error(sayOf(codes.find((code) => code !== 'ENODATA') ?? 'ENODATA'))
}

function sayOf(code: string | undefined): string {
  if (code === 'ENOTFOUND') return 'There is no such name (NXDOMAIN).'
  if (code === 'ENODATA') return 'The name has no address.'
  return `The name could not be looked up (${code ?? 'unknown reason'}).`
}
