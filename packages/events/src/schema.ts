/**
 * How the data of an event is written, read and described. JSON Schema is the default; Protobuf and Avro do the same for
 * bytes of their own. A schema that is registered puts the registry's id before the bytes (Confluent's wire format).
 */
export interface EventSchema<Data = unknown> {
  readonly format: 'json' | 'protobuf' | 'avro'
  /** Media type of what `encode` writes. */
  readonly contentType: string
  /** The text that a schema registry keeps, and that AsyncAPI shows. */
  readonly text: string
  /** Throws EVENT_INVALID that names each place of the data that is at fault. */
  encode(data: Data): Uint8Array
  /** Throws EVENT_UNDECODABLE. */
  decode(bytes: Uint8Array): Data
}
