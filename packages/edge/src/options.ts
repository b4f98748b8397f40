import type { LineFormat } from './decode/decode.ts'
import type { RedactOptions } from './decode/redaction.ts'

/** What a collector runs by, filled in; `edge:` of forebay.yaml is the given form. */
export interface CollectorOptions {
  /** Names this collector in sources: 'web-1'. Two that run at once must not share it. */
  readonly name: string
  /** Folder of positions and spool; one collector at a time. */
  readonly dir: string
  /** Topic of the rows. */
  readonly topic: string
  readonly files: readonly FileOptions[]
  readonly redact: RedactOptions
}

export interface FileOptions {
  /** Absolute; what nginx's `access_log` names. */
  readonly path: string
  readonly format: LineFormat
  /** Where to begin in a file that is met for the first time of all. */
  readonly from: 'start' | 'end'
}
