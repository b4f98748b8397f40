import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Where workers note each attempt they begin, one line each, appended: it survives their kill -9. */
export interface Ledger extends Disposable {
  readonly path: string
  entries(): LedgerEntry[]
  /** Resolves when so many attempts have begun. */
  untilBegun(count: number): Promise<void>
}

export interface LedgerEntry {
  readonly taskId: string
  readonly attempt: number
  readonly key: string
  readonly body: string
}

export function openLedger(): Ledger {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-ledger-'))
  const path = join(dir, 'ledger')
  const entries = () => linesOf(path).map(parse)
  return {
    path,
    entries,
    async untilBegun(count) {
      const giveUpAt = performance.now() + 60_000
      for (;;) {
        const begun = linesOf(path).length
        if (begun >= count) return
        if (performance.now() > giveUpAt) throw new Error(`only ${begun} attempts begun, ${count} wanted`)
        await sleep(20)
      }
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  }
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(0, -1)
  } catch {
    return []
  }
}

function parse(line: string): LedgerEntry {
  const [taskId, attempt, key, body] = line.split(' ') as [string, string, string, string]
  return { taskId, attempt: Number(attempt), key, body }
}
