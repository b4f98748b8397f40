import type { Command } from 'commander'
import type { Context } from './context.ts'

type Register = (program: Command, context: Context) => void

interface Entry {
  /** First words of a command line. */
  readonly names: readonly string[]
  readonly load: () => Promise<Register>
}

/** In the order of the help. */
const ENTRIES: readonly Entry[] = [
  { names: ['up'], load: async () => (await import('./commands/up.ts')).registerUp },
  { names: ['submit', 'get', 'cancel'], load: async () => (await import('./commands/tasks.ts')).registerTasks },
  { names: ['parked'], load: async () => (await import('./commands/parked.ts')).registerParked },
  { names: ['dead'], load: async () => (await import('./commands/dead.ts')).registerDead },
  { names: ['webhooks'], load: async () => (await import('./commands/webhooks.ts')).registerWebhooks },
  { names: ['events'], load: async () => (await import('./commands/events.ts')).registerEvents },
  { names: ['logs'], load: async () => (await import('./commands/logs.ts')).registerLogs },
  { names: ['queues'], load: async () => (await import('./commands/queues.ts')).registerQueues },
  { names: ['store'], load: async () => (await import('./commands/store.ts')).registerStore },
  { names: ['config'], load: async () => (await import('./commands/config.ts')).registerConfig },
  { names: ['init'], load: async () => (await import('./commands/init.ts')).registerInit },
  { names: ['keys'], load: async () => (await import('./commands/keys.ts')).registerKeys },
  { names: ['doctor'], load: async () => (await import('./commands/doctor.ts')).registerDoctor },
  { names: ['nginx'], load: async () => (await import('./commands/nginx.ts')).registerNginx },
]

/**
 * Loads only the command that the first word names: what all of them need together takes longer to load than most of them
 * to run. Any other word gets them all, for the help and for the nearest right word.
 */
export async function registerCommands(program: Command, context: Context, firstWord: string | undefined) {
  if (firstWord === '--version' || firstWord === '-V') return
  const named = ENTRIES.filter(({ names }) => names.includes(firstWord ?? ''))
  const wanted = named.length > 0 ? named : ENTRIES
  for (const register of await Promise.all(wanted.map(({ load }) => load()))) register(program, context)
}
