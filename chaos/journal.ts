import { createHash } from 'node:crypto'
import { createWriteStream, existsSync, readFileSync } from 'node:fs'
import type { EventBody, HistoryEvent } from '../history/history.ts'

/** The events that one process saw, one JSON line each, appended: what was written survives its kill. */
export interface Journal {
  note(event: EventBody, by: string): void
  close(): Promise<void>
}

export function openJournal(path: string): Journal {
  const stream = createWriteStream(path, { flags: 'a' })
  return {
    note(event, by) {
      stream.write(`${JSON.stringify({ t: nowMs(), by, ...event })}\n`)
    },
    close: () => new Promise((resolve) => stream.end(resolve)),
  }
}

/** The machine's monotonic clock, the same for every process. */
export function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000
}

/** Every whole line; a process that was killed may have left half a line at the end. */
export function readJournal(path: string): HistoryEvent[] {
  if (!existsSync(path)) return []
  const events: HistoryEvent[] = []
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue
    try {
      events.push(JSON.parse(line) as HistoryEvent)
    } catch {
      // The line that a kill cut short.
    }
  }
  return events
}

export function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 16)
}

export function faultDigest(code: string, detail: string): string {
  return digest(`${code} ${detail}`)
}
