/** What answers questions about the logs of the edge; the server only carries them. */
export interface LogQueries {
  /**
   * One JSON object a line: `columns` first, then `rows` as often as there are some, `end` last. Throws QUERY_REFUSED,
   * QUERY_LIMIT, BAD_REQUEST, LOGS_UNAVAILABLE.
   */
  query(question: LogQuestion, signal: AbortSignal): AsyncIterable<object>
  /** `columns` and `rows` likewise, from now on, until the signal aborts. */
  tail(question: { readonly table?: string; readonly where?: string }, signal: AbortSignal): AsyncIterable<object>
}

export interface LogQuestion {
  /** One SELECT. */
  readonly sql: string
  readonly rowsMax?: number
  readonly timeoutMs?: number
  /** Only rows whose time is at or after this, ms since 1970. */
  readonly sinceMs?: number
}
