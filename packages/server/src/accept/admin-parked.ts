import { ForebayError } from '@forebay/protocol'
import { isMediaType } from '../media-type.ts'
import { nearestName } from '../nearest-name.ts'
import { OCTET_STREAM } from '../records.ts'
import type { ParkedFilter, ParkedRow, Parking, ParkReason, Wish } from '../store/parking.ts'
import type { AcceptingQueues } from './accepting-queue.ts'
import type { AdminAnswer, AdminRequest, AdminRoute } from './admin-routes.ts'
import { TASK_OVERHEAD_BYTES } from './admission.ts'
import { parkedRowView, parkedSummaryView } from './parked-view.ts'

export interface ParkedRoutesParts {
  /** Null where nothing is ever parked. */
  readonly parking: Parking | null
  readonly queues: AcceptingQueues
  /** Of the log. */
  readonly recordBytesMax: number
}

export const PARKED_PAGE_DEFAULT = 100
export const PARKED_PAGE_MAX = 1_000

/** What operators see of parked tasks, and what they can do with one. What they wish for, its dispatcher does soon. */
export function parkedRoutes(parts: ParkedRoutesParts): readonly AdminRoute[] {
  const { queues, recordBytesMax } = parts
  return [
    { method: 'GET', path: '/v1/admin/parked', action: 'parked.list', handle: list },
    { method: 'GET', path: ONE, action: 'parked.show', handle: show },
    { method: 'POST', path: `${ONE}/retry`, action: 'parked.retry', handle: (request) => wish(request, 'retry') },
    { method: 'POST', path: `${ONE}/release`, action: 'parked.release', handle: (request) => wish(request, 'release') },
    { method: 'POST', path: `${ONE}/skip`, action: 'parked.skip', handle: (request) => wish(request, 'skip') },
    { method: 'PUT', path: `${ONE}/body`, action: 'parked.edit', handle: edit },
  ]

  async function list({ query }: AdminRequest): Promise<AdminAnswer> {
    const filter = readFilter(query)
    if (filter.queue !== undefined) queues.find(filter.queue)
    const { rows, cursor, total } = await parking().list(filter)
    return { status: 200, json: { parked: rows.map(parkedSummaryView), total, next: cursor } }
  }

  async function show({ params }: AdminRequest): Promise<AdminAnswer> {
    return { status: 200, json: parkedRowView(await find(params)) }
  }

  async function wish({ params }: AdminRequest, wanted: Wish): Promise<AdminAnswer> {
    const { queue, task } = named(params)
    settled(await parking().wish(queue, task, wanted), queue, task)
    return { status: 202, json: { id: task, queue, wish: wanted } }
  }

  async function edit({ params, body, contentType }: AdminRequest): Promise<AdminAnswer> {
    const { queue, task } = named(params)
    queues.find(queue).checkBody(body)
    if (body.length + TASK_OVERHEAD_BYTES > recordBytesMax) {
      const message = `The body is larger than the log takes in one record (${recordBytesMax} bytes).`
      throw new ForebayError('TASK_TOO_LARGE', message, { members: { limit: recordBytesMax } })
    }
    // Who names no type mends the bytes and leaves the type as it is.
    const type = contentType ?? contentTypeOf(await find(params))
    settled(await parking().edit(queue, task, { payload: body, contentType: type }), queue, task)
    return { status: 200, json: { id: task, queue, bytes: body.length }, audit: { bytes: body.length } }
  }

  async function find(params: AdminRequest['params']): Promise<ParkedRow> {
    const { queue, task } = named(params)
    const row = await parking().find(queue, task)
    if (row === null) throw notFound(queue, task)
    return row
  }

  function named(params: AdminRequest['params']): { queue: string; task: string } {
    queues.find(params.queue!)
    return { queue: params.queue!, task: params.task! }
  }

  function parking(): Parking {
    if (parts.parking !== null) return parts.parking
    throw new ForebayError(
      'PARKING_UNAVAILABLE',
      'Nothing is ever parked here: this server has no store that all dispatchers share. Configure "store: postgres://…" or use the embedded broker.',
    )
  }
}

const ONE = '/v1/admin/queues/{queue}/parked/{task}'

const REASONS: ReadonlySet<string> = new Set<ParkReason>(['delayed', 'backoff', 'behind', 'blocking', 'exhausted'])
const PARAMETERS = ['queue', 'key', 'reason', 'limit', 'after']
const CURSOR_CHARACTERS_MAX = 512

function readFilter(query: URLSearchParams): ParkedFilter {
  for (const name of query.keys()) {
    if (!PARAMETERS.includes(name)) throw unknownParameter(name)
    if (query.getAll(name).length > 1) throw badParameter(name, 'came twice')
  }
  const limit = query.get('limit') ?? String(PARKED_PAGE_DEFAULT)
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > PARKED_PAGE_MAX) {
    throw badParameter('limit', `must be a whole number from 1 to ${PARKED_PAGE_MAX}`)
  }
  const reason = query.get('reason')
  if (reason !== null && !REASONS.has(reason)) throw badParameter('reason', `must be one of ${[...REASONS].join(', ')}`)
  const after = query.get('after')
  if (after !== null && (after === '' || after.length > CURSOR_CHARACTERS_MAX)) {
    throw badParameter('after', 'is not a "next" of a page before')
  }
  const queue = query.get('queue')
  const key = query.get('key')
  return {
    limit: Number(limit),
    ...(queue === null ? {} : { queue }),
    ...(key === null ? {} : { key }),
    ...(reason === null ? {} : { reason: reason as ParkReason }),
    ...(after === null ? {} : { after }),
  }
}

function contentTypeOf({ record }: ParkedRow): string {
  const header = record.headers.find(([name]) => name === 'content-type')
  const type = header === undefined ? OCTET_STREAM : Buffer.from(header[1]).toString()
  return isMediaType(type) ? type : OCTET_STREAM
}

function settled(outcome: 'kept' | 'taken' | 'missing', queue: string, task: string): void {
  if (outcome === 'missing') throw notFound(queue, task)
  if (outcome === 'taken') {
    const message = 'An attempt of this task is under way; ask again when it is over.'
    throw new ForebayError('PARKED_BUSY', message, { members: { task, queue }, retryAfterS: 1 })
  }
}

function notFound(queue: string, task: string): ForebayError {
  const message = 'No parked task of this id in this queue; it may have gone on by itself.'
  return new ForebayError('PARKED_NOT_FOUND', message, { members: { task, queue } })
}

function unknownParameter(name: string): ForebayError {
  const nearest = nearestName(name, PARAMETERS)
  return badParameter(
    name.replace(/[^\x20-\x7e]/g, '?').slice(0, 64),
    nearest === null ? `is not known; ${PARAMETERS.join(', ')} are` : `is not known; did you mean ${nearest}?`,
  )
}

function badParameter(field: string, what: string): ForebayError {
  return new ForebayError('BAD_REQUEST', `The query's ${field} ${what}.`, { members: { field } })
}
