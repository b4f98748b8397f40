import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startForebay } from '../forebay.ts'

/** `forebay up --roles logs`, and `forebay logs query` on its folder, as an operator asks it. */
export interface LogStoreProcess extends AsyncDisposable {
  /** kill -9, then starts it again. */
  killAndStart(): Promise<void>
  query(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]>
  /** Asks until the one number that `sql` gives is at least so large, or time is up; resolves to it. */
  untilAtLeast(count: number, sql: string): Promise<number>
  output(): string
}

export async function startLogStoreProcess(config: Readonly<Record<string, unknown>>): Promise<LogStoreProcess> {
  const forebay = await startForebay({ config: { ...config, edge: { logs: { store: 'local' } } }, roles: ['logs'] })
  const query = async (sql: string) => {
    const place = ['--dir', join(forebay.dir, 'data', 'logs')]
    const args = [MAIN, 'logs', 'query', sql, ...place, '--json', '--limit', String(ROWS_MAX)]
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      cwd: forebay.dir,
      maxBuffer: OUTPUT_BYTES_MAX,
    })
    const lines = stdout.split('\n').filter((line) => line !== '')
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }
  return {
    query,
    async killAndStart() {
      await forebay.kill9()
      await forebay.start()
    },
    async untilAtLeast(count, sql) {
      const giveUpAt = performance.now() + SEEN_WITHIN_MS
      for (;;) {
        const [row] = await query(sql)
        const seen = Number(Object.values(row!)[0])
        if (seen >= count || performance.now() > giveUpAt) return seen
        await sleep(500)
      }
    },
    output: () => forebay.rig.output().slice(-OUTPUT_CHARS_SHOWN),
    [Symbol.asyncDispose]: () => forebay[Symbol.asyncDispose](),
  }
}

const MAIN = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
const ROWS_MAX = 1_000_000
const OUTPUT_BYTES_MAX = 512 * 1024 * 1024
const SEEN_WITHIN_MS = 60_000
const OUTPUT_CHARS_SHOWN = 4_000
