import type { Metrics, Server } from '@forebay/server'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import type { Terminal } from '../terminal.ts'

export interface Stopping {
  /** Whether a signal has come. */
  readonly asked: boolean
  /** Resolves when the server has stopped, asked or not. */
  readonly ended: Promise<End>
  /** Takes the handlers away again. */
  forget(): void
}

export interface End {
  /** 0 after an orderly stop, 130 or 143 when a second signal cut it short, 1 when nobody had asked. */
  readonly exitCode: ExitCode
  /** Tasks that got their result between the signal and the end. */
  readonly drained: number
  /** What was handed back unfinished, one line each. */
  readonly left: readonly string[]
}

interface StoppingParts {
  readonly server: Server
  readonly registry: Metrics['registry']
  readonly graceMs: number
  readonly terminal: Terminal
}

/** The two stages of a stop (P11); nothing else in the project handles signals. */
export function stopOnSignals({ server, registry, graceMs, terminal }: StoppingParts): Stopping {
  let signals = 0
  let cutShort: ExitCode | null = null
  let resultsAtSignal: Promise<number> = Promise.resolve(0)
  const onSignal = (signal: NodeJS.Signals) => {
    signals++
    if (signals === 1) {
      resultsAtSignal = resultsSoFar(registry)
      terminal.say(`${signal}: taking nothing new, finishing what runs (at most ${graceMs / 1000} s). Again: at once.`)
      void server.stop({ graceMs })
    } else if (signals === 2) {
      terminal.say(`${signal} again: ending at once. What is unfinished stays in the log and will be run again.`)
      cutShort = signal === 'SIGINT' ? EXIT.interrupted : EXIT.terminated
      void server.stop({ graceMs: 0 })
    }
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const ended = server.stopped.then(async ({ left }): Promise<End> => {
    const drained = signals === 0 ? 0 : (await resultsSoFar(registry)) - (await resultsAtSignal)
    if (signals === 0) terminal.say('The server stopped by itself; the log above says why.')
    else terminal.say(`drained ${drained} ${drained === 1 ? 'task' : 'tasks'}, left: ${left.length || 'nothing'}`)
    for (const line of left) terminal.say(`  left  ${line}`)
    return { exitCode: signals === 0 ? EXIT.failed : (cutShort ?? EXIT.ok), drained, left }
  })
  return {
    get asked() {
      return signals > 0
    },
    ended,
    forget() {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    },
  }
}

async function resultsSoFar(registry: Metrics['registry']): Promise<number> {
  const metric = await registry.getSingleMetric('forebay_results_total')?.get()
  return metric?.values.reduce((sum, { value }) => sum + value, 0) ?? 0
}
