import { EXIT } from './exit-codes.ts'

export interface Interrupt extends Disposable {
  /** Aborts at the first SIGINT or SIGTERM. A second one ends the process at once. */
  readonly signal: AbortSignal
}

/** For commands that go on until somebody has seen enough; those that run a server have `stopOnSignals`. */
export function onInterrupt(): Interrupt {
  const controller = new AbortController()
  const interrupted = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(signal === 'SIGTERM' ? EXIT.terminated : EXIT.interrupted)
    controller.abort(signal)
  }
  for (const signal of SIGNALS) process.on(signal, interrupted)
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const signal of SIGNALS) process.off(signal, interrupted)
    },
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const
