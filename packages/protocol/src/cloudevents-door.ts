// A second door: CloudEvents as Kafka records, in HTTP requests and as JSON documents, for whoever reads or writes events.
export {
  ATTRIBUTE_NAME,
  ATTRIBUTES,
  type AttributeDefaults,
  fromAttributes,
  shown,
} from './cloudevents/attributes.ts'
export type { EncodedEvent } from './cloudevents/encoded-event.ts'
export { type EventRequest, type EventsRead, readHttpEvents } from './cloudevents/http-binding.ts'
export {
  type EventRecord,
  fromRecord,
  type RecordOfEvent,
  toRecord,
  typeOfRecord,
} from './cloudevents/kafka-binding.ts'
export { readStructured, readStructuredObject, structuredText, toStructured } from './cloudevents/structured.ts'
