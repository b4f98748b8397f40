import { partitionOf, type Random } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { nearestName } from '../nearest-name.ts'
import type { QueueOptions } from '../options.ts'
import type { QueueMeters, Telemetry } from '../telemetry.ts'
import { bodyCheck } from './body-schema.ts'
import { parseJson } from './json-body.ts'
import { type KeyHints, keyFinder } from './ordering-key.ts'

/** What the doors need of a queue, worked out once at the start. */
export interface AcceptingQueue {
  readonly options: QueueOptions
  /** The name as JSON in ASCII. */
  readonly nameJson: string
  readonly meters: QueueMeters
  /** Checks the body where a schema says so and finds the ordering key. The body is parsed only if one of them needs it. */
  check(payload: Uint8Array, hints: KeyHints): string | null
  /** Only the body: its size, and the schema where there is one. Throws TASK_TOO_LARGE, MALFORMED_JSON, SCHEMA_MISMATCH. */
  checkBody(payload: Uint8Array): void
  /** The partition of the key, as Java's client chooses it; without a key, some to each in turn. */
  partition(key: string | null): number
}

export interface AcceptingQueues {
  /** Throws QUEUE_NOT_FOUND with the nearest name. */
  find(name: string): AcceptingQueue
  readonly all: readonly AcceptingQueue[]
}

export interface AcceptingQueuesParts {
  readonly queues: ReadonlyMap<string, QueueOptions>
  readonly partitionsOf: (topic: string) => number
  readonly random: Random
  readonly telemetry: Telemetry
}

/** Throws CONFIG_INVALID for a schema that is none. */
export function acceptingQueues({ queues, partitionsOf, random, telemetry }: AcceptingQueuesParts): AcceptingQueues {
  const known = new Map<string, AcceptingQueue>()
  for (const options of queues.values()) {
    const partitions = partitionsOf(options.topic)
    known.set(options.name, acceptingQueue(options, partitions, random, telemetry.metrics.queue(options.name)))
  }
  return {
    all: [...known.values()],
    find(name) {
      const queue = known.get(name)
      if (queue === undefined) throw queueNotFound(name, known.keys())
      return queue
    },
  }
}

function acceptingQueue(
  options: QueueOptions,
  partitions: number,
  random: Random,
  meters: QueueMeters,
): AcceptingQueue {
  const findKey = keyFinder(options.name, options.key)
  const checkBody = options.schema === null ? null : bodyCheck(options.name, options.schema)
  let turn = Math.floor(random.unit() * partitions)
  let taken = 0
  return {
    options,
    nameJson: asciiJson(options.name),
    meters,
    check(payload, hints) {
      if (checkBody === null) return findKey(hints, () => parseJson(payload))
      const body = parseJson(payload)
      checkBody(body)
      return findKey(hints, () => body)
    },
    checkBody(payload) {
      const limit = options.bodyBytesMax
      if (payload.length > limit) {
        const message = `The body is larger than the ${limit} bytes that this queue takes.`
        throw new ForebayError('TASK_TOO_LARGE', message, { members: { limit } })
      }
      if (checkBody !== null) checkBody(parseJson(payload))
    },
    partition(key) {
      if (key !== null) return partitionOf(Buffer.from(key), partitions)
      if (taken === STAY_FOR) {
        taken = 0
        turn = (turn + 1) % partitions
      }
      taken++
      return turn
    },
  }
}

/** Keyless tasks that go to one partition before it is the next one's turn: fewer, fuller batches for the log. */
export const STAY_FOR = 32

function asciiJson(text: string): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(text).replace(/[^\x20-\x7e]/g, escaped)
}

function queueNotFound(name: string, known: Iterable<string>): ForebayError {
  const nearest = nearestName(name, known)
  const hint = nearest === null ? 'See the queues of the configuration.' : `Did you mean "${nearest}"?`
  return new ForebayError('QUEUE_NOT_FOUND', `There is no queue of this name. ${hint}`, {
    members: nearest === null ? {} : { nearest },
  })
}
