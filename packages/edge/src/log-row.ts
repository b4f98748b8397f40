import type { ROW_VERSION } from './row.ts'

/** Topic of the logs of services, unless `edge.logsTopic` names another. Keys and headers as on the topic of access rows. */
export const LOGS_TOPIC = 'forebay.edge.logs'

/**
 * One log record of a service, as OTLP or a line of JSON brought it. What could not be read is an `UndecodableRow`, what is
 * known to be lost a `DroppedRow`, on the same topic. Texts are '' and numbers 0 where there is nothing to say.
 */
export interface LogRow {
  readonly v: typeof ROW_VERSION
  readonly kind: 'log'
  /** When it happened by the sender's clock, ISO 8601 in UTC with up to 6 digits of a second; else when it got here. */
  readonly time: string
  /** OpenTelemetry's number: 1–4 trace, 5–8 debug, 9–12 info, 13–16 warn, 17–20 error, 21–24 fatal; 0 unknown. */
  readonly severity: number
  /** As the sender wrote it ('INFO', 'warning'); the name of the number where it wrote none. */
  readonly severityText: string
  /** The message. A structured body is its JSON text. */
  readonly body: string
  /** `service.name`. */
  readonly service: string
  /** Machine that the service says it runs on. */
  readonly server: string
  /** Instrumentation scope, or the logger's name. */
  readonly scope: string
  /** Name of the event, where the record is one. */
  readonly event: string
  /** 32 and 16 hex digits. */
  readonly trace: string
  readonly span: string
  /** The task that it is about, where the sender says so: attribute `task` or `forebay.task`. */
  readonly task: string
  /** What else is said of the record: members of a line, attributes of OTLP. Secret members are hidden. */
  readonly attributes: Readonly<Record<string, unknown>>
  /** What OTLP says of the sender, without `service.name` and `host.name`; {} for lines. */
  readonly resource: Readonly<Record<string, unknown>>
}
