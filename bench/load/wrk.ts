import { fileURLToPath } from 'node:url'
import { startProcess } from '../../scripts/rig/process.ts'

export interface LoadOptions {
  readonly url: string
  readonly connections: number
  readonly seconds: number
  /** The one status that counts as right. */
  readonly status: number
  readonly prefer: string | null
  /** Each request names one of so many keys. Default: none. */
  readonly keys?: number
}

/** What wrk saw from outside. One thread of it: it shares two cores with all that it measures. */
export interface Load {
  readonly requests: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p90Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** Answers with another status, and one of those statuses. */
  readonly wrong: number
  readonly wrongStatus: number
  readonly socketErrors: number
}

/** POSTs the same 512-byte JSON over so many connections, each asking again as soon as it has its answer. */
export async function runWrk(options: LoadOptions): Promise<Load> {
  const { connections, seconds } = options
  const wrk = startProcess({
    name: 'wrk',
    command: 'wrk',
    args: ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', TIMEOUT, '--latency', '-s', SCRIPT, options.url],
    env: {
      BENCH_STATUS: String(options.status),
      ...(options.keys === undefined ? {} : { BENCH_KEYS: String(options.keys) }),
      ...(options.prefer === null ? {} : { BENCH_PREFER: options.prefer }),
    },
  })
  const [, json] = await wrk.line(/RESULT (\{.*\})/, (seconds + EXTRA_SECONDS) * 1000)
  await wrk.exited
  return JSON.parse(json!) as Load
}

const SCRIPT = fileURLToPath(new URL('post.lua', import.meta.url))
const TIMEOUT = '15s'
const EXTRA_SECONDS = 30
