import type { ErrorCode } from '@forebay/protocol'

/** What a shell script can tell apart; docs/cli.md and a test keep to it. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  configInvalid: 4,
  notConnected: 5,
  interrupted: 130,
  terminated: 143,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Ends a command: `main` prints it as an error block and exits with its code. */
export class CommandError extends Error {
  readonly exitCode: ExitCode
  /** What to do, one line each. */
  readonly fix: readonly string[]
  readonly code: ErrorCode | null
  /** Printed already; `main` only exits. */
  readonly shown: boolean

  constructor(
    exitCode: ExitCode,
    message: string,
    details: { fix?: readonly string[]; code?: ErrorCode; shown?: boolean; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'CommandError'
    this.exitCode = exitCode
    this.fix = details.fix ?? []
    this.code = details.code ?? null
    this.shown = details.shown ?? false
  }
}

/** The exit code of an error of our own table. */
export function exitCodeOf(code: ErrorCode): ExitCode {
  switch (code) {
    case 'CONFIG_INVALID':
      return EXIT.configInvalid
    case 'QUEUE_NOT_FOUND':
    case 'EVENT_NOT_FOUND':
    case 'ROUTE_NOT_FOUND':
    case 'TASK_NOT_FOUND':
    case 'TASK_GONE':
    case 'PARKED_NOT_FOUND':
    case 'CALLBACK_NOT_FOUND':
    case 'DEAD_LETTER_NOT_FOUND':
      return EXIT.notFound
    case 'BROKER_UNAVAILABLE':
    case 'STORE_UNAVAILABLE':
      return EXIT.notConnected
    default:
      return EXIT.failed
  }
}
