import { ForebayError } from '@forebay/protocol'
import type { Event } from '../event.ts'
import { checkTable } from '../outbox/outbox-options.ts'

export interface InboxOptions {
  /** Whose effects are counted: each group does its own. As a rule the consumer's group. */
  readonly group: string
  /** Name of the table, which groups may share. Default 'forebay_inbox'. */
  readonly table?: string
}

/** What an effect is done once for. */
export type EventIdentity = Pick<Event, 'source' | 'id'>

/** Throws CONFIG_INVALID. */
export function resolveInbox({ group, table = TABLE_DEFAULT }: InboxOptions): Required<InboxOptions> {
  checkTable(table)
  if (GROUP.test(group)) return { group, table }
  throw new ForebayError('CONFIG_INVALID', `inbox: group: use 1 to 200 characters, got ${JSON.stringify(group)}.`, {
    members: { field: 'group' },
  })
}

/** Of one call of `sweep`. */
export const SWEEP_ROWS_MAX = 10_000
const TABLE_DEFAULT = 'forebay_inbox'
const GROUP = /^.{1,200}$/
