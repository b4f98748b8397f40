import { readFile } from 'node:fs/promises'

/**
 * Datagrams that the kernel threw away since the socket of this port was made, as its buffer was full; null where that cannot be
 * known (not Linux). What was lost on the way here, nobody counts.
 */
export async function kernelDrops(port: number): Promise<number | null> {
  let known = false
  let drops = 0
  for (const table of ['/proc/net/udp', '/proc/net/udp6']) {
    const text = await readFile(table, 'latin1').catch(() => '')
    for (const line of text.split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/)
      if (Number.parseInt(columns[1]?.split(':').at(-1) ?? '', 16) !== port) continue
      known = true
      drops += Number(columns.at(-1))
    }
  }
  return known ? drops : null
}
