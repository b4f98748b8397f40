import { setTimeout as sleep } from 'node:timers/promises'
import type { RunningService } from '../../examples/two-step-verification/application.ts'
import type { Rig } from '../../scripts/rig/process.ts'

/** A service that is started again whenever its process ends, as a supervisor in production does it. */
export interface Supervised extends AsyncDisposable {
  readonly name: string
  /** When its processes were killed. Wall ms. */
  readonly killedAtMs: readonly number[]
  /** Processes that ended after they had started and were not killed, with their last words. */
  readonly endedByItself: readonly string[]
  readonly isRunning: boolean
  /** kill -9. */
  kill9(): void
}

/** Resolves when it has started for the first time. */
export async function supervise(name: string, start: () => Promise<RunningService>): Promise<Supervised> {
  const killedAtMs: number[] = []
  const endedByItself: string[] = []
  let isStopping = false
  let running: Rig | null = (await start()).rig
  const living = live()
  return {
    name,
    killedAtMs,
    endedByItself,
    get isRunning() {
      return running !== null
    },
    kill9() {
      if (running === null) return
      killedAtMs.push(Date.now())
      running.signal('SIGKILL')
      running = null
    },
    async [Symbol.asyncDispose]() {
      isStopping = true
      await running?.stop()
      await living
    },
  }

  async function live(): Promise<void> {
    for (let rig = running; rig !== null && !isStopping; rig = running) {
      await rig.exited
      if (!isStopping && running === rig) endedByItself.push(`${name} ended by itself: ${rig.output().slice(-1_000)}`)
      running = await again()
    }
  }

  /** One that cannot start, as without its log, tries until it can. */
  async function again(): Promise<Rig | null> {
    while (!isStopping) {
      try {
        return (await start()).rig
      } catch {
        await sleep(START_PAUSE_MS)
      }
    }
    return null
  }
}

const START_PAUSE_MS = 200
