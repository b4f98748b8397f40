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
  /** Topic of the logs of services. */
  readonly logsTopic: string
  readonly files: readonly FileOptions[]
  readonly syslog: SyslogOptions
  readonly http: HttpDoorOptions
  /** Topics that may be produced to over HTTP. */
  readonly produce: readonly string[]
  readonly redact: RedactOptions
  readonly spool: { readonly bytesMax: number; readonly whenFull: 'refuse' | 'drop-oldest' }
}

export interface Address {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
}

/** Null: not there. Node cannot read unix datagrams, which is what nginx sends to `unix:`; give it UDP on the loopback. */
export interface SyslogOptions {
  readonly udp: Address | null
  readonly tcp: Address | null
  /** Path of a stream socket. */
  readonly unix: string | null
  readonly format: LineFormat
}

export interface HttpDoorOptions {
  readonly listen: Address | null
  /** Path of a unix socket. */
  readonly unix: string | null
  /** SHA-256 in hex of each access key; empty: everybody may send. */
  readonly keys: readonly string[]
}

export interface FileOptions {
  /** Absolute; what nginx's `access_log` names. */
  readonly path: string
  readonly format: LineFormat
  /** Where to begin in a file that is met for the first time of all. */
  readonly from: 'start' | 'end'
}
