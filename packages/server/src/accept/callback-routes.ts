import { ForebayError } from '@forebay/protocol'
import type { CallbackView } from '../store/callbacks.ts'
import { callbackBody } from '../webhooks/callback-body.ts'
import type { Admission } from './admission.ts'
import type { CallbackRegistration } from './callback-registration.ts'
import { sendJson, taskPath } from './http-answers.ts'
import type { Call, Handle } from './http-call.ts'
import { parseJson } from './json-body.ts'
import type { Authenticate } from './principal.ts'
import { readBody } from './read-body.ts'
import type { ReadTask } from './read-task.ts'

export interface CallbackRoutesParts {
  readonly callbacks: CallbackRegistration
  readonly authenticate: Authenticate
  readonly admission: Admission
  readonly readTask: ReadTask
}

export interface CallbackRoutes {
  /** POST /v1/tasks/{id}/callbacks: 201 with the callback, also where the task had it before. */
  readonly add: Handle
  /** GET /v1/tasks/{id}/callbacks: what became of them, with the delivery log. */
  readonly list: Handle
}

/** For the owner of a task alone: to others it is as if it were not there. */
export function callbackRoutes({ callbacks, authenticate, admission, readTask }: CallbackRoutesParts): CallbackRoutes {
  return { add, list }

  async function add(call: Call): Promise<void> {
    const { response, fields, parameters } = call
    const owner = authenticate(fields.authorization)
    const { id, view } = await readTask(parameters.id!, owner, 0)
    const url = callbacks.check(await readUrl(call), owner)
    await callbacks.register({ ...id, owner, queue: view?.queue ?? id.queue, mayHaveEnded: true }, url)
    const [kept] = await callbacks.kept().list({ taskId: id.id, owner, url: url.href })
    const headers = ['Location', `${taskPath(id.id)}/callbacks`]
    sendJson(response, 201, headers, kept === undefined ? { url: url.href, task: id.id } : callbackBody(kept))
  }

  async function list({ response, fields, parameters }: Call): Promise<void> {
    const owner = authenticate(fields.authorization)
    const { id } = await readTask(parameters.id!, owner, 0)
    const rows: readonly CallbackView[] = await callbacks.kept().list({ taskId: id.id, owner })
    sendJson(response, 200, [], { callbacks: rows.map(callbackBody) })
  }

  async function readUrl({ request, response, fields }: Call): Promise<string> {
    const body = await readBody(request, response, fields, BODY_BYTES_MAX, admission)
    admission.leave(body.length)
    const given = parseJson(body)
    const isObject = typeof given === 'object' && given !== null && !Array.isArray(given)
    const url = isObject && Object.keys(given).length === 1 && 'url' in given ? given.url : null
    if (typeof url === 'string') return url
    throw new ForebayError('BAD_REQUEST', 'The body must be {"url": "https://…"} and nothing else.', {
      members: { field: 'url' },
    })
  }
}

const BODY_BYTES_MAX = 16 * 1_024
