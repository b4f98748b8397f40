import type { Address } from '@forebay/server/configuration'

/** What nginx does by Lua, checked: every text in it is safe between double quotes of Lua. */
export interface LuaPlan {
  /** Folder for the Lua files, absolute. */
  readonly dir: string
  /** 'unix:/path' or 'IP:port'. */
  readonly collector: string
  /** File with an access key of the collector, in one line; null without. */
  readonly keyFile: string | null
  /** Whether each request becomes a row. */
  readonly rows: boolean
  /** Headers of requests that rows show, in lower case. */
  readonly headers: readonly string[]
  readonly body: BodyPolicy
  /** Of a body, at most. */
  readonly bodyBytes: number
  /** Of the ring in shared memory. */
  readonly bufferBytes: number
  /** Topics that callers may produce to. */
  readonly produce: readonly string[]
  /** Of one message. */
  readonly produceBytesMax: number
  /** Brokers that messages go to without a collector; null: by way of the collector. */
  readonly kafka: readonly Address[] | null
}

/** Of which requests the body is in the row: none, those that ended with status 400 or more, all. */
export type BodyPolicy = 'none' | 'errors' | 'all'
