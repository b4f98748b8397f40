import type { Command } from 'commander'
import type { Context } from '../context.ts'

/** Each command below it stands in a file of its own. */
export function registerEvents(program: Command, _context: Context): void {
  program.command('events').description('Describes, checks and works with events between services.')
}
