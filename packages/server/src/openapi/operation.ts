import type { EventTypeOptions, QueueOptions } from '../options.ts'
import type { Json } from './json.ts'

/** What a document is made from: the running configuration and what this server can do. */
export interface DocumentParts {
  /** Every route of the door, HEAD left out. */
  readonly routes: readonly Route[]
  readonly queues: readonly QueueOptions[]
  /** That callers may publish. */
  readonly events: readonly EventTypeOptions[]
  readonly waitMaxMs: number
  readonly retentionMs: number
  /** Whether every request wants an access key. */
  readonly keys: boolean
  /** Whether delayed tasks have a place to wait. */
  readonly delays: boolean
  /** Whether callbacks have a place to be kept. */
  readonly callbacks: boolean
}

export interface Route {
  readonly method: string
  /** '/v1/tasks/{id}' */
  readonly path: string
}

/** Operations by 'GET /v1/tasks/{id}'. */
export type Operations = Readonly<Record<string, (parts: DocumentParts) => Json>>
