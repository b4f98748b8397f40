import type { EventLog } from '@forebay/events'
import type { Context } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { type LogFlags, openLog } from './open-log.ts'
import { partitionsOf, subjectsOf } from './which-topics.ts'

export interface GroupFlags extends LogFlags {
  readonly group: string
}

export interface GroupLog extends AsyncDisposable {
  readonly log: EventLog
  /** Of the events that were named, as far as the group reads them. */
  readonly topics: readonly string[]
  /** Of those that were named as events and not as topics; empty: whatever is in the topics. */
  readonly types: readonly string[]
}

/**
 * The log of a group that has read it before: nothing is made here, so a name that is misspelt leaves no topics behind.
 */
export async function openGroupLog(names: readonly string[], flags: GroupFlags, context: Context): Promise<GroupLog> {
  const { againTopicOf, deadTopicOf } = await import('@forebay/events')
  const { broker, options, [Symbol.asyncDispose]: close } = await openLog(flags, context)
  try {
    const { subjects } = await partitionsOf(broker, subjectsOf(names, options))
    const named = [...new Set(subjects.map(({ topic }) => topic))]
    const again = againTopicOf(flags.group)
    const deadOf = (topic: string) => deadTopicOf(topic, flags.group)
    const states = await broker.inspect({ topics: [again, ...named.map(deadOf)] })
    const there = new Set(states.map(({ topic }) => topic))
    const topics = named.filter((topic) => there.has(deadOf(topic)))
    if (topics.length === 0 || !there.has(again)) {
      throw new CommandError(EXIT.notFound, `No group ${flags.group} has read ${named.join(', ')} so far.`, {
        fix: ['--group is the `group` of its consumers; their first start makes its topics.'],
      })
    }
    const known = new Set([...named, again, ...topics.map(deadOf)])
    const log = { broker, topics: known, close: async () => {}, [Symbol.asyncDispose]: async () => {} }
    const types = subjects.flatMap(({ type }) => (type === null ? [] : [type]))
    const all = subjects.some(({ type }) => type === null)
    return { log, topics, types: all ? [] : types, [Symbol.asyncDispose]: close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}
