import { ForebayError } from '@forebay/protocol'
import protobuf from 'protobufjs'
import type { EventSchema, SchemaImport } from '../schema.ts'
import { invalidData, messageOf, undecodable } from './data-faults.ts'
import { dataOf } from './protobuf-data.ts'
import { parseFiles, readImports } from './protobuf-files.ts'
import { indexOfMessage, isMessageAt } from './protobuf-index.ts'
import { type Longs, messageFor } from './protobuf-message.ts'
import { readSource, type SchemaSource } from './schema-source.ts'

export type ProtobufSchemaOptions = SchemaSource & {
  /** Full name: 'shop.v1.OrderPaid'. */
  readonly message: string
  /**
   * What 64-bit integers are in TypeScript. 'number' (default): one beyond 2^53 - 1 is refused, never rounded. 'bigint':
   * always a bigint.
   */
  readonly longs?: Longs
  /** Folder under which imports of `file` are found. Default: the one `file` is in. */
  readonly importsIn?: string | URL
  /** With `text`: the files that it imports, each after those that it imports itself; Google's own are known. */
  readonly imports?: readonly SchemaImport[]
}

/**
 * One message of a .proto file (proto2, proto3 or editions). `Data` is the caller's word: nothing derives it from the text.
 * Names are in camel case, enums are the names of their values, `bytes` Buffers, keys of maps texts. Throws CONFIG_INVALID
 * for a text that is no .proto file or has no such message.
 */
export function protobufSchema<Data>(options: ProtobufSchemaOptions): EventSchema<Data> {
  const { message, longs = 'number' } = options
  const text = readSource(options)
  const imports = options.imports ?? ('file' in options ? readImports(text, options.file, options.importsIn) : [])
  const type = typeOf({ text, imports }, message)
  const messageIndex = indexOfMessage(text, message)
  return {
    format: 'protobuf',
    contentType: 'application/protobuf',
    text,
    imports,
    recordName: message,
    messageIndex,
    encode(data) {
      const faults: string[] = []
      try {
        const made = messageFor(type, data, longs, faults)
        if (made !== null && faults.length === 0) return type.encode(made).finish()
      } catch (cause) {
        // Data that holds itself, or is nested beyond what a reader would take.
        throw invalidData([`/ ${messageOf(cause)}`], cause)
      }
      throw invalidData(faults)
    },
    decode,
    decoderOf(writer) {
      const index = writer.messageIndex ?? []
      let isOurs: boolean
      try {
        isOurs = isMessageAt(writer.text, index, message)
      } catch (cause) {
        throw undecodable(`its writer's schema is not Protobuf: ${messageOf(cause)}`, cause)
      }
      if (!isOurs) throw undecodable(`the message [${index.join(', ')}] of its writer's schema is not ${message}`)
      // By their numbers fields of every version are found; nothing is to be resolved.
      return decode
    },
  }

  function decode(bytes: Uint8Array): Data {
    try {
      const reader = protobuf.Reader.create(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      reader.discardUnknown = true
      return dataOf(type, type.decode(reader), longs) as Data
    } catch (cause) {
      throw undecodable(messageOf(cause), cause)
    }
  }
}

function typeOf(schema: { text: string; imports: readonly SchemaImport[] }, message: string): protobuf.Type {
  try {
    return parseFiles(schema).lookupType(message)
  } catch (cause) {
    throw new ForebayError('CONFIG_INVALID', `The Protobuf schema of ${message}: ${messageOf(cause)}.`, { cause })
  }
}
