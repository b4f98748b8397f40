export { type Collector, type CollectorParts, type EdgeLog, startCollector } from './collector.ts'
export { Intervals } from './intervals.ts'
export type { CollectorOptions, FileOptions } from './options.ts'
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
