import { type Broker, type Clock, systemClock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import {
  type Choice,
  discard,
  eachLetter,
  findLetter,
  Newest,
  PLACES_MAX,
  parsePlace,
  type ScanParts,
} from '@forebay/server/dead'
import type { EventDefinition } from '../define-event.ts'
import { type EventLog, groupTopics, useLog } from '../event-log.ts'
import {
  type EventLetter,
  type EventLetterFilter,
  eventLetterOf,
  scanFilterOf,
  type WholeLetter,
  wholeLetterOf,
} from './event-letter.ts'
import {
  type RedriveOptions,
  type RedriveReport,
  type RunOptions,
  redriveLetters,
  surveyLetters,
} from './redrive-letters.ts'

/**
 * The dead letters of one group. Their topics are the only place where they are kept, so each question reads them from
 * the start; memory holds what is answered.
 */
export interface EventDeadLetters extends AsyncDisposable {
  /** Newest first, at most `limit` (default 50, up to 1,000), and how many match in all. */
  list(filter?: EventLetterFilter, options?: ListOptions): Promise<{ letters: readonly EventLetter[]; total: number }>
  /** One whole, by its name. Rejects with DEAD_LETTER_NOT_FOUND. */
  show(letter: string, options?: { readonly signal?: AbortSignal }): Promise<WholeLetter>
  /**
   * Gives open letters to their group again, oldest first in each topic: a copy of the event, then, when that is durable,
   * the verdict that closes the letter. A run that ends in between leaves the letter open, so an event may be handled
   * twice. Rejects with DEAD_LETTER_NOT_FOUND before anything is done, EVENT_INVALID where what `edit` made is none of
   * `events`, and as `Broker.publish` does: what has no verdict by then is still open.
   */
  redrive(which: LetterChoice, options: RedriveOptions): Promise<RedriveReport>
  /** Closes open letters for good; they stay readable. */
  discard(which: LetterChoice, options: RunOptions): Promise<DiscardReport>
  /** Closes the broker, if it was this that opened it. Safe to call twice. */
  close(): Promise<void>
}

export interface DeadLettersOptions {
  /** Not open yet: it is opened and closed. Or a log that several share and that knows the group. */
  readonly broker: Broker | EventLog
  readonly group: string
  /** Whose dead letters; or name the `topics`. Edited data is checked against these. */
  readonly events?: readonly EventDefinition[]
  readonly topics?: readonly string[]
  readonly clock?: Clock
}

export interface ListOptions {
  readonly limit?: number
  readonly signal?: AbortSignal
}

/** By their names (up to 1,000), or all that match; "all" is an empty filter. */
export type LetterChoice =
  | { readonly letters: readonly string[] }
  | { readonly filter: Omit<EventLetterFilter, 'state'>; readonly limit?: number }

export interface DiscardReport {
  /** Discarded, or, in a dry run, to be discarded. */
  readonly discarded: number
}

/** Rejects with CONFIG_INVALID, or as `Broker.open` does. The group's topics are made where they are missing. */
export async function openDeadLetters(options: DeadLettersOptions): Promise<EventDeadLetters> {
  const { group, events = [], clock = systemClock } = options
  const topics = [...new Set([...events.map(({ topic }) => topic), ...(options.topics ?? [])])]
  if (topics.length === 0) throw new ForebayError('CONFIG_INVALID', 'openDeadLetters: name events or topics.')
  const log = await useLog(options.broker, groupTopics(topics, group))
  // As the server's scan has it: a queue's dead letters lie in the topic `<its topic>.dead`.
  const queues = new Map(topics.map((name) => [name, { name, topic: `${name}.${group}` }]))
  const parts: ScanParts = { broker: log.broker, clock, queues }

  return {
    async list(filter = {}, { limit = LIST_DEFAULT, signal = NEVER } = {}) {
      const scan = scanFilterOf(checked(filter))
      const newest = new Newest<EventLetter>(Math.min(limit, LIST_MAX), ({ atMs }) => atMs)
      let total = 0
      await eachLetter(parts, scan, signal, (letter, state) => {
        total++
        if (newest.wants(letter.atMs)) newest.add(eventLetterOf(letter, state, group))
      })
      return { letters: newest.get(), total }
    },

    async show(name, { signal = NEVER } = {}) {
      return wholeLetterOf(await findLetter(parts, placeOf(name), signal), group)
    },

    redrive: async (which, given) => redriveLetters({ ...parts, group, events }, choiceOf(which), given),

    async discard(which, { by, reason = '', dryRun = false, signal = NEVER, onProgress = () => {} }) {
      const choice = choiceOf(which)
      let discarded = 0
      if (dryRun) {
        await surveyLetters(parts, choice, signal, () => void discarded++)
        return { discarded }
      }
      for await (const progress of discard(parts, { choice, by, reason }, signal)) {
        discarded = progress.discarded
        onProgress(discarded)
      }
      return { discarded }
    },

    close: () => log.close(),
    [Symbol.asyncDispose]: () => log.close(),
  }

  function choiceOf(which: LetterChoice): Choice {
    if ('filter' in which)
      return { by: 'filter', filter: scanFilterOf(checked(which.filter)), limit: which.limit ?? null }
    const count = which.letters.length
    if (count > PLACES_MAX) throw badRequest(`letters: ${count} names; at most ${PLACES_MAX} are taken at once`)
    return { by: 'place', places: [...new Set(which.letters)].map(placeOf) }
  }

  function checked<Filter extends EventLetterFilter>(filter: Filter): Filter {
    if (filter.topic === undefined || queues.has(filter.topic)) return filter
    throw badRequest(`topic: ${filter.topic} is none of ${topics.join(', ')}`)
  }
}

function placeOf(letter: string) {
  const place = parsePlace(letter)
  if (place !== null) return place
  const message = `${JSON.stringify(letter)} names no dead letter; the list names them, as in accounts/0/17.`
  throw new ForebayError('DEAD_LETTER_NOT_FOUND', message)
}

function badRequest(fault: string): ForebayError {
  return new ForebayError('BAD_REQUEST', `Dead letters: ${fault}.`)
}

const LIST_DEFAULT = 50
const LIST_MAX = 1_000
const NEVER = new AbortController().signal
