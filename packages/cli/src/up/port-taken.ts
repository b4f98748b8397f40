import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'

/** The port that an error says is in use already, looking through its causes; null when it is about something else. */
export function portTakenIn(error: unknown): number | null {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth++) {
    const { code, port } = cause as NodeJS.ErrnoException & { port?: unknown }
    if (code === 'EADDRINUSE' && typeof port === 'number') return port
    const [, said] = /EADDRINUSE.*?:(\d{1,5})\b/s.exec(cause.message) ?? []
    if (said !== undefined) return Number(said)
  }
  return null
}

/** 'node (pid 412)' where Linux lets us see it; null elsewhere, and for other users' processes. */
export function portOwner(port: number): string | null {
  const inodes = listeningInodes(port)
  if (inodes.size === 0) return null
  for (const pid of entriesOf('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const descriptor of entriesOf(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${descriptor}`))?.[1]
      if (inode !== undefined && inodes.has(inode))
        return `${textOf(`/proc/${pid}/comm`).trim() || 'a process'} (pid ${pid})`
    }
  }
  return null
}

/** A port near the wanted one that is free at this moment; null when there is none within 100. */
export async function freePortNear(port: number, host: string): Promise<number | null> {
  for (let candidate = port + 1; candidate <= Math.min(port + 100, 65_535); candidate++) {
    if (await isFree(candidate, host)) return candidate
  }
  return null
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, host, () => server.close(() => resolve(true)))
  })
}

function listeningInodes(port: number): Set<string> {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  const inodes = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of textOf(table).split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/)
      const isListening = columns[3] === '0A' && columns[1]?.endsWith(`:${wanted}`)
      if (isListening && columns[9] !== undefined) inodes.add(columns[9])
    }
  }
  return inodes
}

/** What cannot be seen counts as empty: this only makes a message better. */
function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
