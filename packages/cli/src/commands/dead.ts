import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { openGateway, URL_FLAG, withQuery } from '../gateway.ts'
import { printable } from '../printable.ts'
import { tableLines } from '../table.ts'
import { type FilterFlags, parameters, withFilterFlags } from './dead-filter.ts'
import { registerDeadRuns } from './dead-runs.ts'
import { registerDeadShow } from './dead-show.ts'

interface ListFlags extends FilterFlags {
  readonly state?: string
  readonly limit?: string
  readonly json?: boolean
}

interface AuditFlags extends Omit<FilterFlags, 'code' | 'key'> {
  readonly by?: string
  readonly verdict?: string
  readonly limit?: string
  readonly json?: boolean
}

/** As the gateway tells of it. */
interface Letter {
  readonly letter: string
  readonly task: string
  readonly key: string | null
  readonly state: string
  readonly code: string
  readonly detail: string
  readonly attempts: number
  readonly generation: number
  readonly diedAt: string
}

interface Verdict {
  readonly letter: string
  readonly verdict: string
  readonly task: string
  readonly generation: number
  readonly by: string
  readonly at: string
  readonly reason: string
  readonly edited: boolean
}

interface Histogram {
  readonly hours: readonly { readonly from: string; readonly codes: Readonly<Record<string, number>> }[]
  readonly total: number
  readonly earlier: number
}

export function registerDead(program: Command, context: Context): void {
  const dead = program.command('dead').description('Shows dead letters, and gives them another life or an end.')
  withFilterFlags(dead.command('list'))
    .description('Lists dead letters, newest first.')
    .option('--state <state>', 'open (the default), redriven, discarded or any')
    .option('-n, --limit <count>', 'at most so many; 50 by default, 1,000 at most')
    .option(...URL_FLAG)
    .option('--json', 'one JSON object a letter, on stdout')
    .addHelpText('after', LIST_EXAMPLES)
    .action((flags: ListFlags) => list(flags, context))
  withFilterFlags(dead.command('histogram'))
    .description('Counts dead letters by hour and error class, of the last seven days unless --since says otherwise.')
    .option('--state <state>', 'open (the default), redriven, discarded or any')
    .option(...URL_FLAG)
    .option('--json', 'one JSON object an hour, on stdout')
    .addHelpText('after', HISTOGRAM_EXAMPLES)
    .action((flags: ListFlags) => histogram(flags, context))
  registerDeadShow(dead, context)
  registerDeadRuns(dead, context)
  dead
    .command('audit')
    .description('Lists who redrove and discarded what, when and why; newest first.')
    .option('-q, --queue <queue>', 'only of this queue')
    .option('--task <id>', 'only of this task')
    .option('--by <principal>', 'only what this principal did')
    .option('--verdict <verdict>', 'redriven or discarded')
    .option('--since <time>', 'only from then on: 2h (ago), or 2026-11-21T08:00:00Z')
    .option('--until <time>', 'only before then')
    .option('-n, --limit <count>', 'at most so many; 50 by default, 1,000 at most')
    .option(...URL_FLAG)
    .option('--json', 'one JSON object an entry, on stdout')
    .addHelpText('after', AUDIT_EXAMPLES)
    .action((flags: AuditFlags) => audit(flags, context))
}

const LIST_EXAMPLES = `
Examples:
  forebay dead list
  forebay dead list --queue orders --code WORKER_FAILED --since 2h
  forebay dead list --state any --key customer-7 --json

Each question reads the dead topics from their start. A gateway that asks for access keys wants one of an operator
(\`operator: true\`), in FOREBAY_KEY.`

const HISTOGRAM_EXAMPLES = `
Examples:
  forebay dead histogram
  forebay dead histogram --queue orders --since 2026-11-20`

const AUDIT_EXAMPLES = `
Examples:
  forebay dead audit --since 1d
  forebay dead audit --task ID --json`

const COLUMNS = ['LETTER', 'TASK', 'KEY', 'CODE', 'ATTEMPTS', 'GEN', 'DIED', 'STATE', 'WHY']
const WHY_MAX = 60

async function list(flags: ListFlags, context: Context): Promise<void> {
  const { terminal } = context
  const path = withQuery('/v1/admin/dead', { ...parameters(flags), state: flags.state, limit: flags.limit })
  const { letters, total } = (await openGateway(flags, context).json({ path })) as { letters: Letter[]; total: number }
  if (flags.json) for (const letter of letters) terminal.data(JSON.stringify(letter))
  else if (letters.length === 0) terminal.say('No dead letters.')
  else for (const line of tableLines(COLUMNS, letters.map(cells))) terminal.data(line)
  if (total > letters.length) terminal.say(`${letters.length} of ${total}; --limit shows more, dead histogram sums up.`)
}

function cells({ letter, task, key, code, attempts, generation, diedAt, state, detail }: Letter): string[] {
  const why = printable(detail).slice(0, WHY_MAX)
  return [
    letter,
    printable(task),
    printable(key ?? '-'),
    code,
    String(attempts),
    String(generation),
    diedAt,
    state,
    why,
  ]
}

async function histogram(flags: ListFlags, context: Context): Promise<void> {
  const { terminal } = context
  const path = withQuery('/v1/admin/dead/histogram', { ...parameters(flags), state: flags.state })
  const { hours, total, earlier } = (await openGateway(flags, context).json({ path })) as Histogram
  if (flags.json) for (const hour of hours) terminal.data(JSON.stringify(hour))
  else if (hours.length > 0) {
    const rows = hours.flatMap(({ from, codes }) =>
      Object.entries(codes).map(([code, count]) => [from.slice(0, 13), code, String(count)]),
    )
    for (const line of tableLines(['HOUR (UTC)', 'CODE', 'LETTERS'], rows)) terminal.data(line)
  }
  terminal.say(`${total} dead letters${earlier > 0 ? `, and ${earlier} from before` : ''}.`)
}

async function audit(flags: AuditFlags, context: Context): Promise<void> {
  const { terminal } = context
  const { queue, task, by, verdict, since, until, limit } = flags
  const path = withQuery('/v1/admin/dead/audit', { queue, task, by, verdict, since, until, limit })
  const { verdicts } = (await openGateway(flags, context).json({ path })) as { verdicts: Verdict[] }
  if (flags.json) for (const one of verdicts) terminal.data(JSON.stringify(one))
  else if (verdicts.length === 0) terminal.say('Nothing was redriven or discarded.')
  else {
    const rows = verdicts.map((one) => {
      const what = one.edited ? `${one.verdict}, edited` : one.verdict
      const told = [printable(one.task), String(one.generation), printable(one.by), printable(one.reason)]
      return [one.at, what, one.letter, ...told]
    })
    for (const line of tableLines(['AT', 'VERDICT', 'LETTER', 'TASK', 'GEN', 'BY', 'REASON'], rows)) terminal.data(line)
  }
}
