export { type Collector, type CollectorParts, type EdgeLog, edgeTopics, startCollector } from './collector.ts'
export { type CheckedLines, checkLines } from './decode/check-lines.ts'
export { MEMBERS_DEFAULT, PARAMETERS_DEFAULT, type RedactOptions } from './decode/redaction.ts'
export { Intervals } from './intervals.ts'
export { LOGS_TOPIC, type LogRow } from './log-row.ts'
export { type LuaFile, luaFiles } from './lua-files.ts'
export type { EdgeMeters, EdgeRoad } from './meters.ts'
export type { CollectorOptions, FileOptions, HttpDoorOptions, SyslogOptions } from './options.ts'
export {
  type AccessRow,
  type DroppedReason,
  type DroppedRow,
  EDGE_TOPIC,
  ROW_VERSION,
  type Row,
  type UndecodableReason,
  type UndecodableRow,
} from './row.ts'
export {
  readPosition,
  SEQUENCE_HEADER,
  SOURCE_CHARACTERS_MAX,
  SOURCE_HEADER,
  SOURCE_PATTERN,
  type SourcePosition,
  sequenceHeader,
  sourceHeader,
} from './source-position.ts'
