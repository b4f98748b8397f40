import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RecordToPublish } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { Decoder, type DecoderOptions } from '../decode/decode.ts'
import { droppedRecord } from '../dropped.ts'
import type { Intake } from '../intake.ts'
import type { EdgeMeters } from '../meters.ts'
import { EPOCH_PATTERN, SOURCE_PATTERN } from '../source-position.ts'
import type { Spool } from '../spool/spool.ts'
import { answer } from './http-answer.ts'
import type { BodyRoom } from './read-body.ts'

export interface LogsRouteParts {
  readonly decoding: DecoderOptions
  readonly spool: Spool
  readonly meters: EdgeMeters
  /** For senders that do not say where their lines stand. */
  readonly intake: Intake
  readonly bodies: BodyRoom
}

/** Largest batch of lines. */
export const BATCH_BYTES_MAX = 8 * 1024 * 1024

/**
 * POST /v1/edge/logs: lines, each ended by a newline. Answered when they are on the disk: 202, or 503 when the spool is full and
 * nothing was kept.
 */
export async function takeLogs(
  parts: LogsRouteParts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const sender = senderOf(request)
  await parts.bodies.read(request, BATCH_BYTES_MAX, async (body) => {
    const ended = body.length === 0 || body.at(-1) === NEWLINE ? body : Buffer.concat([body, Buffer.from('\n')])
    const kept = sender === null ? await parts.intake.take(ended, true) : await keep(parts, sender, ended)
    if (!kept) {
      parts.meters.refused()
      throw new ForebayError('NOT_ACCEPTED', 'The spool of this collector is full; nothing was kept.', {
        retryAfterS: 5,
      })
    }
    answer(response, 202, { kept: lineCount(ended), durability: 'spooled' })
  })
}

interface Sender {
  readonly source: string
  readonly epoch: string
  readonly first: number
  /** Lines that the sender lost just before these. */
  readonly dropped: number
  /** When it found that out; 0 where it does not say. With it a row that comes again is the same. ms */
  readonly droppedAtMs: number
}

async function keep({ decoding, spool, meters }: LogsRouteParts, sender: Sender, body: Buffer): Promise<boolean> {
  const { source, epoch, first, dropped, droppedAtMs } = sender
  const records: RecordToPublish[] = []
  if (dropped > 0) {
    const loss = { reason: 'sender', source, epoch, first, end: first, lines: dropped } as const
    records.push(droppedRecord(decoding.topic, loss, droppedAtMs || decoding.clock.wallMs()))
  }
  const decoder = new Decoder(decoding, source, epoch)
  decoder.decode(body, first, records)
  if ((await spool.append(decoding.topic, records, true)) === 'full') return false
  if (dropped > 0) meters.dropped('sender', dropped)
  meters.kept('http', records.length, decoder.counts.undecodable)
  return true
}

/** Null when it does not say. */
function senderOf({ headers }: IncomingMessage): Sender | null {
  const source = headers['forebay-source']
  if (source === undefined) return null
  const epoch = headers['forebay-epoch']
  if (typeof source !== 'string' || !SOURCE_PATTERN.test(source) || source.includes(':')) {
    throw badHeader('Forebay-Source', source, 'Write up to 256 letters, digits, and . _ / - to name the sender.')
  }
  if (typeof epoch !== 'string' || !EPOCH_PATTERN.test(epoch)) {
    throw badHeader(
      'Forebay-Epoch',
      epoch,
      'Write up to 64 letters, digits, and . _ - that each start of the sender chooses anew.',
    )
  }
  return {
    source,
    epoch,
    first: count(headers, 'Forebay-First'),
    dropped: count(headers, 'Forebay-Dropped', 0),
    droppedAtMs: count(headers, 'Forebay-Dropped-At', 0),
  }
}

function count(headers: IncomingMessage['headers'], name: string, absent?: number): number {
  const given = headers[name.toLowerCase()]
  if (given === undefined && absent !== undefined) return absent
  if (typeof given === 'string' && /^\d{1,15}$/.test(given)) return Number(given)
  throw badHeader(
    name,
    given,
    'Write a whole number: how many bytes the sender sent before these in this epoch, or lines it lost.',
  )
}

export function badHeader(name: string, given: unknown, fix: string): ForebayError {
  return new ForebayError('BAD_HEADER', `${name}: ${JSON.stringify(given ?? null)} cannot be used. ${fix}`, {
    members: { header: name },
  })
}

function lineCount(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++
  return count
}

const NEWLINE = 10
