/**
 * What operators may ask for, over HTTP, under /v1/admin/. The door sees to it that the caller is an operator, bounds the
 * body, writes the audit line and turns what is thrown into a problem; a route says the rest.
 */
export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** '/v1/admin/queues/{queue}/parked/{taskId}' */
  readonly path: string
  /** What the audit log calls it: 'parked.retry'. Reading (GET) is not audited. */
  readonly action: string
  /** What it throws is answered by the table of errors. */
  handle(request: AdminRequest): Promise<AdminAnswer>
}

export interface AdminRequest {
  /** Of the path, decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** At most `http.bodyMax` bytes; empty when there is none. */
  readonly body: Uint8Array
  /** Null when the caller named none. */
  readonly contentType: string | null
  readonly principal: string
  /** Aborts when the caller goes away or the server stops: a long run should end. */
  readonly signal: AbortSignal
}

export type AdminAnswer = AdminJson | AdminLines

interface Audited {
  /** More for the audit line: how many, at which rate. Names and numbers, never payloads. */
  readonly audit?: Readonly<Record<string, string | number | boolean | null>>
}

export interface AdminJson extends Audited {
  readonly status: number
  readonly json: object
}

/**
 * For long runs: one JSON object a line, each sent as it comes. When it throws, the problem is the last line, as
 * `{"problem":{…}}`: the status is on its way by then.
 */
export interface AdminLines extends Audited {
  readonly status: number
  readonly ndjson: AsyncIterable<object>
}
