/**
 * So many requests a minute from one address, with as many at once. What is remembered is bounded: past `CLIENTS_MAX`
 * the one that was silent longest is forgotten, so a flood from many addresses costs no more memory than this.
 */
export interface RequestRate {
  /** 0: come in. Otherwise the seconds to wait. */
  waitSeconds(client: string, nowMs: number): number
}

export function requestRate(perMinute: number): RequestRate {
  const msEach = MINUTE_MS / perMinute
  /** When the client's bucket is full again; the oldest entry first. */
  const fullAtMs = new Map<string, number>()
  return {
    waitSeconds(client, nowMs) {
      const name = networkOf(client)
      const fullAt = Math.max(fullAtMs.get(name) ?? 0, nowMs)
      const waitMs = fullAt + msEach - nowMs - MINUTE_MS
      if (waitMs > 0) return Math.ceil(waitMs / 1_000)
      fullAtMs.delete(name)
      fullAtMs.set(name, fullAt + msEach)
      if (fullAtMs.size > CLIENTS_MAX) fullAtMs.delete(fullAtMs.keys().next().value!)
      return 0
    },
  }
}

export const CLIENTS_MAX = 10_000
const MINUTE_MS = 60_000

/** Of IPv6 one customer has a whole /64 at least. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address
  const [head = '', tail] = address.split('::')
  const groups = head.split(':').filter((group) => group !== '')
  if (tail !== undefined) while (groups.length < 4) groups.push('0')
  return groups.slice(0, 4).join(':')
}
