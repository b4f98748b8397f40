import type { Clock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { AdminAnswer, AdminRequest, AdminRoute } from '../accept/admin-routes.ts'
import { withoutStore } from '../accept/callback-registration.ts'
import type { Callbacks, CallbackView } from '../store/callbacks.ts'
import { callbackBody } from './callback-body.ts'
import { readEnableRequest, readListRequest, readReplayRequest } from './read-request.ts'

export interface WebhookRoutesParts {
  /** Null where the store keeps none. */
  readonly callbacks: Callbacks | null
  readonly clock: Clock
  /** Something may be due. */
  readonly wake: () => void
}

/** What operators see of callbacks, and what they can do with them. */
export function webhookRoutes({ callbacks, clock, wake }: WebhookRoutesParts): readonly AdminRoute[] {
  return [
    { method: 'GET', path: '/v1/admin/webhooks', action: 'webhooks.list', handle: list },
    { method: 'GET', path: '/v1/admin/webhooks/{id}', action: 'webhooks.show', handle: show },
    { method: 'POST', path: '/v1/admin/webhooks/replay', action: 'webhooks.replay', handle: replay },
    { method: 'POST', path: '/v1/admin/webhooks/enable', action: 'webhooks.enable', handle: enable },
  ]

  async function list({ query }: AdminRequest): Promise<AdminAnswer> {
    const rows = await kept().list(readListRequest(query, clock.wallMs()))
    return { status: 200, json: { webhooks: rows.map(operatorBody) } }
  }

  async function show({ params }: AdminRequest): Promise<AdminAnswer> {
    const [row] = await kept().list({ id: params.id!, countMax: 1 })
    if (row === undefined) throw notFound(params.id!)
    return { status: 200, json: operatorBody(row) }
  }

  async function replay({ body }: AdminRequest): Promise<AdminAnswer> {
    const filter = readReplayRequest(body, clock.wallMs())
    const replayed = await kept().replay(filter)
    if (replayed === 0 && filter.id !== undefined) {
      const [row] = await kept().list({ id: filter.id, countMax: 1 })
      if (row === undefined) throw notFound(filter.id)
    }
    wake()
    return { status: 202, json: { replayed }, audit: { replayed } }
  }

  async function enable({ body }: AdminRequest): Promise<AdminAnswer> {
    const { owner, url } = readEnableRequest(body)
    const enabled = await kept().enable(owner, url)
    wake()
    return { status: 200, json: { enabled }, audit: { owner, enabled } }
  }

  function kept(): Callbacks {
    if (callbacks === null) throw withoutStore()
    return callbacks
  }
}

function operatorBody(view: CallbackView): object {
  return { ...callbackBody(view), owner: view.owner, host: view.host }
}

function notFound(id: string): ForebayError {
  return new ForebayError('CALLBACK_NOT_FOUND', 'No callback of this id is kept.', {
    members: { callback: id.replace(/[^\x20-\x7e]/g, '?').slice(0, 64) },
  })
}
