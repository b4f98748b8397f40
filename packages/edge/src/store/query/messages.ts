/** What a process that answers queries is asked, one line of JSON each. */
export interface Ask {
  /** Views to be made, by name. */
  readonly views: readonly (readonly [name: string, select: string])[]
  readonly sql: string
  readonly rowsMax: number
}

/** The first line it reads. */
export interface Setup {
  /** The folder that may be read. */
  readonly dir: string
  readonly memoryBytes: number
  readonly threads: number
}

/** What it says, one line each: columns, rows as often as there are some, end; or an error in the place of any. */
export type Said =
  | { readonly columns: readonly QueryColumn[] }
  | { readonly rows: readonly (readonly unknown[])[] }
  | { readonly end: { readonly truncated: boolean } }
  | { readonly error: { readonly kind: 'refused' | 'limit' | 'failed'; readonly message: string } }

export interface QueryColumn {
  readonly name: string
  /** Of the engine, as 'BIGINT', 'TIMESTAMP'. */
  readonly type: string
}
