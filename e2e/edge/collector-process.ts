import { setTimeout as sleep } from 'node:timers/promises'
import { type Forebay, startForebay } from '../forebay.ts'
import type { Stretch } from './judge.ts'

/** `forebay up --roles collector`, killed and started again as a supervisor does it. */
export interface CollectorProcess extends AsyncDisposable {
  /** When it was not there, each with an end once it is back. */
  readonly outages: readonly Stretch[]
  /** kill -9, and starts it again; resolves when it takes lines, although the log may be away. */
  killAndStart(): Promise<void>
  /** Resolves when nothing is on this machine's disk that is not in the log. */
  untilThrough(withinMs: number): Promise<void>
  /** Its own figures, as Prometheus reads them. */
  metrics(): Promise<string>
  /** Asks it to end; rejects when it does not end well. */
  stop(): Promise<void>
  output(): string
}

export async function startCollectorProcess(config: Readonly<Record<string, unknown>>): Promise<CollectorProcess> {
  const forebay: Forebay = await startForebay({ config, roles: ['collector'] })
  const outages: Stretch[] = []
  let starting: Promise<void> = Promise.resolve()
  const metrics = async () => (await fetch(`${forebay.url}/metrics`)).text()
  return {
    outages,
    async killAndStart() {
      const killedMs = Date.now()
      await forebay.kill9()
      starting = forebay.start()
      starting.catch(() => {})
      await forebay.rig.line(/"collecting access logs"/, COLLECTS_WITHIN_MS)
      outages.push({ fromMs: killedMs, untilMs: Date.now() })
    },
    async untilThrough(withinMs) {
      await starting
      const giveUpAt = performance.now() + withinMs
      // Twice in a row: nginx may write its last lines between two looks.
      for (let good = 0; good < 2; ) {
        const text = await metrics().catch(() => '')
        const [files, spool] = ['files', 'spool'].map((place) => behind(text, place))
        good = files === 0 && spool === 0 ? good + 1 : 0
        if (performance.now() > giveUpAt) {
          throw new Error(`after ${withinMs} ms, ${files} bytes of files and ${spool} of the spool are not in the log`)
        }
        await sleep(LOOK_MS)
      }
    },
    metrics,
    async stop() {
      const { code, output } = await forebay.stop()
      if (code !== 0) throw new Error(`the collector ended with ${code}: ${output.slice(-3_000)}`)
    },
    output: () => forebay.rig.output().slice(-OUTPUT_CHARS_SHOWN),
    [Symbol.asyncDispose]: () => forebay[Symbol.asyncDispose](),
  }
}

const COLLECTS_WITHIN_MS = 30_000
const LOOK_MS = 250
const OUTPUT_CHARS_SHOWN = 4_000

function behind(metrics: string, place: string): number {
  const value = new RegExp(`^forebay_edge_behind_bytes\\{place="${place}"\\} (\\d+)`, 'm').exec(metrics)?.[1]
  return Number(value ?? Number.NaN)
}
