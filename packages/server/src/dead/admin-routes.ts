import { ForebayError } from '@forebay/protocol'
import type { AdminAnswer, AdminRequest, AdminRoute } from '../accept/admin-routes.ts'
import { isMediaType } from '../media-type.ts'
import { nearestName } from '../nearest-name.ts'
import { OCTET_STREAM } from '../records.ts'
import type { Choice } from './choose.ts'
import { createDeadLetters } from './dead-letters.ts'
import { discard } from './discard.ts'
import { dryRun } from './dry-run.ts'
import { checkEditedBody } from './edited-body.ts'
import { formatPlace, type LetterPlace, parsePlace } from './letter-place.ts'
import { dryRunView, histogramView, letterView, summaryView, verdictView } from './letter-view.ts'
import {
  readAuditRequest,
  readDiscardRequest,
  readEditRequest,
  readHistogramRequest,
  readListRequest,
  readRedriveRequest,
} from './read-request.ts'
import { REDRIVE_RATE_DEFAULT, type RedriveParts, type RedriveProgress, redrive } from './redrive.ts'
import { REFUSALS, refusalOf } from './redrive-record.ts'

/** Operators' questions and runs that read dead topics at the same time; each reads them whole. */
export const DEAD_READERS_MAX = 4

/** What operators see of dead letters, and what they can do with them. */
export function deadRoutes(parts: RedriveParts): readonly AdminRoute[] {
  const { queues, clock, broker } = parts
  const deadLetters = createDeadLetters(parts)
  let readers = 0
  return [
    { method: 'GET', path: '/v1/admin/dead', action: 'dead.list', handle: bounded(list) },
    { method: 'GET', path: '/v1/admin/dead/histogram', action: 'dead.histogram', handle: bounded(histogram) },
    { method: 'GET', path: '/v1/admin/dead/audit', action: 'dead.audit', handle: bounded(audit) },
    { method: 'GET', path: ONE, action: 'dead.show', handle: bounded(show) },
    { method: 'POST', path: '/v1/admin/dead/redrive', action: 'dead.redrive', handle: bounded(redriveMany) },
    { method: 'POST', path: `${ONE}/redrive`, action: 'dead.edit', handle: bounded(redriveEdited) },
    { method: 'POST', path: '/v1/admin/dead/discard', action: 'dead.discard', handle: bounded(discardMany) },
  ]

  async function list({ query, signal }: AdminRequest): Promise<AdminAnswer> {
    const { filter, limit } = readListRequest(query, clock.wallMs())
    checkQueue(filter.queue)
    const { letters, total } = await deadLetters.list(filter, limit, signal)
    return { status: 200, json: { letters: letters.map(summaryView), total } }
  }

  async function histogram({ query, signal }: AdminRequest): Promise<AdminAnswer> {
    const filter = readHistogramRequest(query, clock.wallMs())
    checkQueue(filter.queue)
    return { status: 200, json: histogramView(await deadLetters.histogram(filter, signal)) }
  }

  async function audit({ query, signal }: AdminRequest): Promise<AdminAnswer> {
    const { filter, limit } = readAuditRequest(query, clock.wallMs())
    checkQueue(filter.queue)
    const verdicts = await deadLetters.audit(filter, limit, signal)
    return { status: 200, json: { verdicts: verdicts.map((verdict) => verdictView(verdict, verdict.queue)) } }
  }

  async function show({ params, signal }: AdminRequest): Promise<AdminAnswer> {
    return { status: 200, json: letterView(await deadLetters.find(named(params), signal)) }
  }

  async function redriveMany({ body, principal, signal }: AdminRequest): Promise<AdminAnswer> {
    const { choice, dryRun: dry, ...request } = readRedriveRequest(body, clock.wallMs())
    checkChoice(choice)
    if (dry) return { status: 200, json: dryRunView(await dryRun(parts, choice, request, signal)) }
    const run = redrive(parts, { ...request, choice, by: principal, edit: null }, signal)
    const audit = { rate: request.ratePerS, reason: request.reason, redriven: 0 }
    const told = tell(run, signal, (progress) => {
      audit.redriven = progress.redriven
    })
    return { status: 200, ndjson: told, audit }
  }

  async function redriveEdited({ params, query, body, contentType, principal, signal }: AdminRequest) {
    const place = named(params)
    const { reason, force } = readEditRequest(query)
    const { letter, state } = await deadLetters.find(place, signal)
    if (state !== 'open') throw closed(place, state)
    checkEditedBody(queues.get(place.queue)!, body, broker.capabilities.recordBytesMax)
    const refusal = refusalOf(letter, true, force)
    if (refusal !== null) throw new ForebayError('BAD_REQUEST', REFUSALS[refusal], { members: { refusal } })
    const edit = { payload: body, contentType: contentType ?? contentTypeOf(letter.record.headers) }
    const choice: Choice = { by: 'place', places: [place] }
    const request = { choice, ratePerS: REDRIVE_RATE_DEFAULT, force, by: principal, reason, edit }
    let progress: RedriveProgress | null = null
    for await (const now of redrive(parts, request, signal)) progress = now
    const json = { letter: formatPlace(place), generation: letter.generation + 1, ...progress }
    return { status: 200, json, audit: { bytes: body.length, reason } }
  }

  async function discardMany({ body, principal, signal }: AdminRequest): Promise<AdminAnswer> {
    const { choice, dryRun: dry, reason } = readDiscardRequest(body, clock.wallMs())
    checkChoice(choice)
    if (dry) return { status: 200, json: dryRunView(await dryRun(parts, choice, null, signal)) }
    const run = discard(parts, { choice, by: principal, reason }, signal)
    const audit = { reason, discarded: 0 }
    const told = tell(run, signal, (progress) => {
      audit.discarded = progress.discarded
    })
    return { status: 200, ndjson: told, audit }
  }

  /** Progress once a second, and the last as `done`. The audit line is written when all is told. */
  async function* tell<T extends object>(
    run: AsyncIterable<T>,
    signal: AbortSignal,
    note: (progress: T) => void,
  ): AsyncGenerator<object, undefined> {
    readers++
    let last: T | null = null
    let toldAtMs = clock.monotonicMs()
    try {
      for await (const progress of run) {
        note(progress)
        last = progress
        if (clock.monotonicMs() - toldAtMs < TELL_EVERY_MS) continue
        toldAtMs = clock.monotonicMs()
        yield { done: false, ...progress }
      }
      yield { done: true, ...last }
    } catch (thrown) {
      yield { done: false, ...last }
      throw signal.aborted ? stopped() : thrown
    } finally {
      readers--
    }
  }

  /** A run that streams counts on its own, after this has answered. */
  function bounded(handle: AdminRoute['handle']): AdminRoute['handle'] {
    return async (request) => {
      if (readers >= DEAD_READERS_MAX) {
        const message = `${DEAD_READERS_MAX} questions or runs on dead letters are under way; ask again when one is over.`
        throw new ForebayError('OVERLOADED', message)
      }
      readers++
      try {
        return await handle(request)
      } catch (thrown) {
        throw request.signal.aborted ? stopped() : thrown
      } finally {
        readers--
      }
    }
  }

  function named({ queue, partition, offset }: AdminRequest['params']): LetterPlace {
    checkQueue(queue)
    const place = parsePlace(`${queue}/${partition}/${offset}`)
    if (place !== null) return place
    const message = 'A dead letter is named by queue, partition and offset, as in /v1/admin/dead/orders/3/17.'
    throw new ForebayError('DEAD_LETTER_NOT_FOUND', message)
  }

  function checkChoice(choice: Choice): void {
    if (choice.by === 'filter') checkQueue(choice.filter.queue)
    else for (const place of choice.places) checkQueue(place.queue)
  }

  function checkQueue(name: string | undefined): void {
    if (name === undefined || queues.has(name)) return
    const nearest = nearestName(name, queues.keys())
    const shown = name.replace(/[^\x20-\x7e]/g, '?').slice(0, 100)
    const hint = nearest === null ? '' : ` Did you mean ${nearest}?`
    throw new ForebayError('QUEUE_NOT_FOUND', `There is no queue ${shown}.${hint}`, { members: { queue: shown } })
  }
}

const ONE = '/v1/admin/dead/{queue}/{partition}/{offset}'
const TELL_EVERY_MS = 1_000

function closed(place: LetterPlace, state: string): ForebayError {
  const letter = formatPlace(place)
  return new ForebayError('DEAD_LETTER_NOT_FOUND', `The dead letter ${letter} is ${state}: it is no longer open.`, {
    members: { letter, state },
  })
}

function stopped(): ForebayError {
  return new ForebayError('STOPPING', 'This was stopped before its end; letters without a verdict are still open.')
}

function contentTypeOf(headers: readonly (readonly [string, Uint8Array])[]): string {
  const header = headers.findLast(([name]) => name === 'content-type')
  const type = header === undefined ? OCTET_STREAM : Buffer.from(header[1]).toString()
  return isMediaType(type) ? type : OCTET_STREAM
}
