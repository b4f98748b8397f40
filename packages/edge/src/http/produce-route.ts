import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Broker, Clock, Position, RecordHeader, RecordToPublish } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { EdgeMeters } from '../meters.ts'
import type { Spool } from '../spool/spool.ts'
import { answer } from './http-answer.ts'
import type { BodyRoom } from './read-body.ts'

export interface ProduceRouteParts {
  readonly broker: Pick<Broker, 'publish' | 'capabilities'>
  /** Of messages alone; it refuses when it is full. */
  readonly spool: Spool
  readonly topics: ReadonlySet<string>
  readonly meters: EdgeMeters
  readonly clock: Clock
  readonly bodies: BodyRoom
}

/**
 * POST /v1/edge/produce/{topic}: the body becomes one record. The answer says what is true: 200 `durable` (the log has it), 202
 * `spooled` (this machine's disk has it, the log will), 503 `refused` (nobody has it). Spooled ones may come twice.
 */
export async function produce(
  parts: ProduceRouteParts,
  topic: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (!parts.topics.has(topic)) {
    const fix = parts.topics.size === 0 ? 'None is: see edge.produce.' : `Known: ${[...parts.topics].join(', ')}.`
    throw new ForebayError('FORBIDDEN', `${topic} is no topic that may be produced to at the edge. ${fix}`)
  }
  const bytesMax = parts.broker.capabilities.recordBytesMax - HEADERS_BYTES
  const { key, headers } = aboutOf(request)
  await parts.bodies.read(request, bytesMax, async (value) => {
    const record: RecordToPublish = { topic, key, value, headers }
    const position = await publishSoon(parts, record)
    if (position !== null) {
      parts.meters.produced('durable')
      answer(response, 200, { outcome: 'durable', ...position })
      return
    }
    if ((await parts.spool.append(topic, [record], true)) === 'full') {
      parts.meters.produced('refused')
      throw new ForebayError('NOT_ACCEPTED', 'The log does not take it and the spool is full; nothing was kept.', {
        retryAfterS: 5,
        members: { outcome: 'refused' },
      })
    }
    parts.meters.produced('spooled')
    answer(response, 202, { outcome: 'spooled', topic })
  })
}

/** Null when the log does not have it by now. Behind what is spooled nothing goes past, so that order is kept. */
async function publishSoon(
  { broker, spool, clock }: ProduceRouteParts,
  record: RecordToPublish,
): Promise<Position | null> {
  if (!spool.isEmpty) return null
  const patience = new AbortController()
  const published = broker.publish([record]).then(
    ([position]) => position ?? null,
    // Whether it was appended or not: the spool sees to it that it is.
    () => null,
  )
  const late = clock.sleep(PATIENCE_MS, patience.signal).then(
    () => null,
    () => null,
  )
  try {
    return await Promise.race([published, late])
  } finally {
    patience.abort()
  }
}

/** The record's key and headers: what CloudEvents' HTTP binding says becomes what its Kafka binding says. */
function aboutOf({ headers }: IncomingMessage): { key: Buffer | null; headers: RecordHeader[] } {
  const given = headers['forebay-key']
  const about: RecordHeader[] = []
  let bytes = 0
  for (const [name, value] of Object.entries(headers)) {
    const kept = PASSED.has(name) ? name : /^ce-[a-z0-9]{1,60}$/.test(name) ? name.replace('-', '_') : null
    if (kept === null || typeof value !== 'string') continue
    about.push([kept, Buffer.from(value, 'latin1')])
    bytes += kept.length + value.length
  }
  const key = typeof given === 'string' ? Buffer.from(given, 'latin1') : null
  if (bytes + (key?.length ?? 0) > HEADERS_BYTES)
    throw new ForebayError('HEADERS_TOO_LARGE', 'Key and headers have more than 16 KiB.')
  return { key, headers: about }
}

const PASSED: ReadonlySet<string> = new Set(['content-type', 'traceparent', 'tracestate'])
const HEADERS_BYTES = 16 * 1024
/** Longer than a log that is well takes; then the disk has to do. */
const PATIENCE_MS = 2_000
