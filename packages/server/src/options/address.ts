export interface Address {
  readonly host: string
  readonly port: number
}

/** 'host:port' with a name, an IPv4 or a bracketed IPv6 address; null for anything else. The host comes unbracketed. */
export function parseAddress(given: string): Address | null {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(given)
  if (match === null) return null
  const host = match[1] ?? match[2]!
  const port = Number(match[3])
  if (port > PORT_MAX || (match[1] !== undefined && !host.includes(':'))) return null
  return { host, port }
}

export function formatAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/** Reached only from this machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host)
}

const PORT_MAX = 65_535
