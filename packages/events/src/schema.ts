/**
 * How the data of an event is written, read and described. JSON Schema is the default; Protobuf and Avro do the same for
 * bytes of their own. A schema that is registered puts the registry's id before the bytes (Confluent's wire format).
 */
export interface EventSchema<Data = unknown> extends SchemaText {
  readonly format: 'json' | 'protobuf' | 'avro'
  /** Media type of what `encode` writes. */
  readonly contentType: string
  /** Name of what it describes, for registries: Avro's or Protobuf's full name, a JSON Schema's title. Null: none. */
  readonly recordName?: string | null
  /** Where its message lies in a Protobuf file: index among the messages there, then among those within it. */
  readonly messageIndex?: readonly number[]
  /** Where the schema is to be found, once that is known. Default: a name for it, made of the event's name and version. */
  readonly dataSchema?: string | null
  /** Throws EVENT_INVALID that names each place of the data that is at fault. */
  encode(data: Data): Uint8Array
  /** Throws EVENT_UNDECODABLE. */
  decode(bytes: Uint8Array): Data
  /**
   * Reads what was written by another text of the schema, into the shape of this one. Throws EVENT_UNDECODABLE where that
   * cannot be. Default: `decode`, whoever wrote it.
   */
  decoderOf?(writer: WriterSchema): (bytes: Uint8Array) => Data
  /** The same schema for the data of this event; `defineEvent` asks for it. */
  forEvent?(event: { readonly name: string; readonly topic: string }): EventSchema<Data>
  /** Fetches what `encode` needs; before it has resolved, `encode` throws. */
  prepare?(): Promise<void>
  /**
   * Null when `decode` knows enough to read these bytes or to refuse them. Otherwise a promise: ask again when it
   * settles, however it does.
   */
  ready?(bytes: Uint8Array): Promise<unknown> | null
}

/** A schema as a registry keeps it. */
export interface SchemaText {
  /** The text that a schema registry keeps, and that AsyncAPI shows. */
  readonly text: string
  /** What `text` imports (files of Protobuf, named types of Avro), each after those that it imports itself. */
  readonly imports?: readonly SchemaImport[]
}

export interface SchemaImport {
  /** As it is imported: a path, or the full name of a type. */
  readonly name: string
  readonly text: string
}

/** The schema by which a record was written, as a registry tells it. */
export interface WriterSchema extends SchemaText {
  /** Of Protobuf only. */
  readonly messageIndex?: readonly number[]
}
