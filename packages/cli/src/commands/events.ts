import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { registerEventsAsyncApi } from './events-asyncapi.ts'
import { registerEventsCheck } from './events-check.ts'
import { registerEventsDead } from './events-dead.ts'
import { registerEventsPublish } from './events-publish.ts'
import { registerEventsReplay } from './events-replay.ts'
import { registerEventsTail } from './events-tail.ts'

/** Each command below it stands in a file of its own. */
export function registerEvents(program: Command, context: Context): void {
  const events = program.command('events').description('Describes, checks and works with events between services.')
  registerEventsTail(events, context)
  registerEventsPublish(events, context)
  registerEventsReplay(events, context)
  registerEventsDead(events, context)
  registerEventsAsyncApi(events, context)
  registerEventsCheck(events, context)
}
