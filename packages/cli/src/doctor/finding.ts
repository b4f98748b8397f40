import type { Terminal } from '../terminal.ts'

/** One thing that was looked at. */
export interface Finding {
  /** What is looked at, always the same words: 'kafka advertised'. */
  readonly check: string
  /** skip: it could not be tried, and that is nobody's fault. */
  readonly state: 'ok' | 'warn' | 'fail' | 'skip'
  /** On what it was tried: an address, a file, a topic. */
  readonly tried: string
  /** What was seen. */
  readonly saw: string
  /** What to do, one line each; empty where all is well. */
  readonly fix: readonly string[]
}

export type State = Finding['state']

export function found(check: string, state: State, tried: string, saw: string, ...fix: readonly string[]): Finding {
  return { check, state, tried, saw, fix }
}

/** One line each, with what to do below. */
export function printFinding({ check, state, tried, saw, fix }: Finding, terminal: Terminal): void {
  const word = (state === 'fail' ? 'FAIL' : state).padEnd(4)
  terminal.data(`${word}  ${check.padEnd(CHECK_COLUMNS)}  ${tried}: ${saw}`)
  for (const [index, line] of fix.entries())
    terminal.data(`      ${(index === 0 ? 'fix' : '').padStart(CHECK_COLUMNS)}  ${line}`)
}

const CHECK_COLUMNS = 18
