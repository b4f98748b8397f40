import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { registerEventsAsyncApi } from './events-asyncapi.ts'

/** Each command below it stands in a file of its own. */
export function registerEvents(program: Command, context: Context): void {
  const events = program.command('events').description('Describes, checks and works with events between services.')
  registerEventsAsyncApi(events, context)
}
