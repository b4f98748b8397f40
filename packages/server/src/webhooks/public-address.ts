import { BlockList, isIPv4 } from 'node:net'

/**
 * Whether an address of the form that `net.isIP` knows belongs to the public Internet. Everything else is closed to
 * callbacks: what stands there trusts whoever can reach it. In IPv6 only global unicast is public, so what carries an
 * IPv4 address inside (mapped, NAT64) is not, nor are the parts of global unicast that lead elsewhere.
 */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !NOT_PUBLIC_V4.check(address, 'ipv4')
  return GLOBAL_UNICAST.check(address, 'ipv6') && !NOT_PUBLIC_V6.check(address, 'ipv6')
}

const NOT_PUBLIC_V4 = blockList('ipv4', [
  // This host and this network.
  '0.0.0.0/8',
  '127.0.0.0/8',
  // Private networks, those of carriers (where some clouds keep their metadata), link-local (where the others do).
  '10.0.0.0/8',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.168.0.0/16',
  // Of Azure's hosts: public by its number, and answers to the machine that asks.
  '168.63.129.16/32',
  // Protocol assignments, documentation, relays from 6to4, benchmarks.
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  // Multicast, reserved, broadcast.
  '224.0.0.0/4',
  '240.0.0.0/4',
])

const GLOBAL_UNICAST = blockList('ipv6', ['2000::/3'])

const NOT_PUBLIC_V6 = blockList('ipv6', [
  // Protocol assignments, Teredo among them.
  '2001::/23',
  // Documentation.
  '2001:db8::/32',
  '3fff::/20',
  // 6to4, with an IPv4 address inside.
  '2002::/16',
])

function blockList(family: 'ipv4' | 'ipv6', subnets: readonly string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [address, bits] = subnet.split('/')
    list.addSubnet(address!, Number(bits), family)
  }
  return list
}
