import { ForebayError } from '@forebay/protocol'

/** What we ask of a client of `pg`: a connection that is in the caller's transaction. */
export interface PostgresTransaction {
  query(text: string, values?: unknown[]): Promise<{ readonly rowCount: number | null }>
  /** 'T' in a transaction, as newer versions of `pg` tell it. */
  getTransactionStatus?(): string | null
}

/** What we ask of a pool (or client) of `pg` that is in no transaction: each statement is one of its own. */
export interface PostgresConnections {
  query(statement: PostgresStatement): Promise<{ readonly rows: unknown[]; readonly rowCount: number | null }>
}

export interface PostgresStatement {
  readonly text: string
  readonly values?: unknown[]
  readonly query_timeout?: number
}

/**
 * A pool would take any of its connections, and a connection without a transaction would commit on its own: either way
 * the promise would be broken without a word. Throws CONFIG_INVALID.
 */
export function checkTransaction(client: PostgresTransaction, call: string): void {
  const isPool = 'totalCount' in client
  if (!isPool && client.getTransactionStatus?.() !== 'I') return
  throw new ForebayError(
    'CONFIG_INVALID',
    `${call}: ${isPool ? 'this is a pool' : 'this client is in no transaction'}; give the client whose BEGIN has been answered.`,
  )
}
