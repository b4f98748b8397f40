import { BlockList, isIP } from 'node:net'

/** What an operator lets callbacks reach although it is not public. */
export interface AllowedTargets {
  /** By its name, whatever address that leads to. */
  host(name: string): boolean
  address(address: string): boolean
}

/** `entries`: names of hosts, addresses, and networks as 10.0.0.0/8; each passes `isAllowEntry`. */
export function allowedTargets(entries: readonly string[]): AllowedTargets {
  const names = new Set<string>()
  const networks = { 4: new BlockList(), 6: new BlockList() }
  for (const entry of entries) {
    const [address, bits] = entry.split('/') as [string, string?]
    const family = isIP(address)
    if (family === 4 || family === 6) {
      networks[family].addSubnet(address, bits === undefined ? BITS[family] : Number(bits), TYPE[family])
    } else names.add(entry.toLowerCase())
  }
  return {
    host: (name) => names.has(name.toLowerCase()),
    // Each family in a list of its own: an IPv6 address that carries an IPv4 one is not taken for it.
    address(address) {
      const family = isIP(address)
      return (family === 4 || family === 6) && networks[family].check(address, TYPE[family])
    },
  }
}

export function isAllowEntry(text: string): boolean {
  const [address, bits, ...more] = text.split('/') as [string, string?, ...string[]]
  const family = isIP(address)
  if (family !== 4 && family !== 6) return bits === undefined && HOST.test(text)
  if (more.length > 0 || address.includes('%')) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= BITS[family])
}

const HOST = /^(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*$/
const BITS = { 4: 32, 6: 128 } as const
const TYPE = { 4: 'ipv4', 6: 'ipv6' } as const
