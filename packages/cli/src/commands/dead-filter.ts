import type { Command } from 'commander'
import type { GatewayFlags } from '../gateway.ts'

/** Which letters are meant; the gateway reads and checks the values. */
export interface FilterFlags extends GatewayFlags {
  readonly queue?: string
  readonly code?: string
  readonly key?: string
  readonly task?: string
  readonly since?: string
  readonly until?: string
}

export function withFilterFlags(command: Command): Command {
  return command
    .option('-q, --queue <queue>', 'only of this queue')
    .option('-c, --code <code>', 'only of this error class, as WORKER_FAILED')
    .option('-k, --key <key>', 'only with this ordering key')
    .option('--task <id>', 'only of this task')
    .option('--since <time>', 'only what died from then on: 2h (ago), or 2026-11-21T08:00:00Z')
    .option('--until <time>', 'only what died before then')
}

export function parameters({ queue, code, key, task, since, until }: FilterFlags) {
  return { queue, code, key, task, since, until }
}
