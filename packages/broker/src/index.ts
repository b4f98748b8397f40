export { type Backoff, backoffMs } from './backoff.ts'
export {
  type AssignedPartition,
  type Batch,
  type Broker,
  type BrokerCapabilities,
  type ConsumeRequest,
  type Delivery,
  type FailedRecord,
  type FromTime,
  type InspectRequest,
  type Listener,
  type ListenRequest,
  type LogRecord,
  type OpenRequest,
  type PartitionState,
  type Position,
  PublishError,
  type RecordHeader,
  type RecordToPublish,
  type Subscription,
  type TopicSpec,
} from './broker.ts'
export { type Clock, systemClock, type Timer } from './clock.ts'
export { type DeliverVerdict, OffsetLedger, WINDOW_OFFSETS_MAX } from './offset-ledger.ts'
export { murmur2, partitionOf } from './partition-of.ts'
export { type Random, systemRandom } from './random.ts'
