import { ForebayError } from '@forebay/protocol'
import type { EventSchema } from '../../schema.ts'
import { messageOf, undecodable } from '../data-faults.ts'
import type { SchemaRegistry } from './schema-registry.ts'
import { frame, unframe } from './wire-format.ts'

export interface RegisteredOptions {
  readonly registry: SchemaRegistry
  /**
   * Under which subject: 'topic' (default) is '<topic>-value', 'record' the full name of the record or message,
   * 'topic-record' '<topic>-<name>'; or a subject of your own.
   */
  readonly subject?: 'topic' | 'record' | 'topic-record' | { readonly name: string }
  /** Whether a schema that the subject does not have is registered. Default true. */
  readonly register?: boolean
}

/**
 * The schema in Confluent's wire format: the registry's id of the schema before the bytes. Writing needs `prepare`, which
 * `createProducer` calls; reading fetches the schemas of others by their ids. An event whose schema cannot be fetched waits.
 */
export function registered<Data>(schema: EventSchema<Data>, options: RegisteredOptions): EventSchema<Data> {
  return new RegisteredSchema(schema, options, null)
}

class RegisteredSchema<Data> implements EventSchema<Data> {
  readonly format: EventSchema['format']
  readonly contentType: string
  readonly text: string
  readonly recordName: string | null
  readonly #schema: EventSchema<Data>
  readonly #options: RegisteredOptions
  readonly #subject: string | null
  /** By the writer's id and message index. */
  readonly #decoders = new Map<string, (bytes: Uint8Array) => Data>()
  readonly #asked = new Map<number, Promise<void>>()
  #schemaId: number | null = null
  #preparing: Promise<void> | null = null

  constructor(schema: EventSchema<Data>, options: RegisteredOptions, topic: string | null) {
    this.format = schema.format
    this.contentType = `application/vnd.confluent.${schema.format}`
    this.text = schema.text
    this.recordName = schema.recordName ?? null
    this.#schema = schema
    this.#options = options
    this.#subject = subjectOf(options.subject ?? 'topic', topic, this.recordName)
  }

  get dataSchema(): string | null {
    return this.#schemaId === null ? null : `${this.#options.registry.url}/schemas/ids/${this.#schemaId}`
  }

  forEvent({ topic }: { readonly topic: string }): EventSchema<Data> {
    return new RegisteredSchema(this.#schema, this.#options, topic)
  }

  prepare(): Promise<void> {
    if (this.#schemaId !== null) return Promise.resolve()
    this.#preparing ??= this.#fetchId().finally(() => {
      this.#preparing = null
    })
    return this.#preparing
  }

  encode(data: Data): Uint8Array {
    if (this.#schemaId === null) {
      const fix = 'await prepareSchemas([event]) before it is published'
      throw new ForebayError(
        'REGISTRY_UNAVAILABLE',
        `The id of the schema of ${this.#subject} is not known yet: ${fix}.`,
      )
    }
    const bytes = this.#schema.encode(data)
    return frame({ schemaId: this.#schemaId, messageIndex: this.#schema.messageIndex ?? [], bytes }, this.#hasIndex)
  }

  decode(framed: Uint8Array): Data {
    const { schemaId, messageIndex, bytes } = unframe(framed, this.#hasIndex)
    if (this.#isAnyones) return this.#schema.decode(bytes)
    const decode = this.#decoders.get(keyOf(schemaId, messageIndex))
    if (decode === undefined) throw undecodable(`the schema ${schemaId} of the registry was not fetched`)
    return decode(bytes)
  }

  ready(framed: Uint8Array): Promise<void> | null {
    if (this.#isAnyones) return null
    let schemaId: number
    let messageIndex: readonly number[]
    try {
      ;({ schemaId, messageIndex } = unframe(framed, this.#hasIndex))
    } catch {
      return null
    }
    const key = keyOf(schemaId, messageIndex)
    if (this.#decoders.has(key)) return null
    const asked = this.#asked.get(schemaId)
    if (asked !== undefined) return asked
    const asking = this.#fetchDecoder(schemaId, messageIndex).finally(() => this.#asked.delete(schemaId))
    this.#asked.set(schemaId, asking)
    return asking
  }

  get #hasIndex(): boolean {
    return this.format === 'protobuf'
  }

  /** JSON tells its shape itself: it is judged by the reader's schema, whoever wrote it. */
  get #isAnyones(): boolean {
    return this.#schema.decoderOf === undefined
  }

  async #fetchId(): Promise<void> {
    const { registry, register = true } = this.#options
    if (this.#subject === null) {
      const fix =
        "define it with defineEvent, which knows the topic, or name a `subject`; 'record' needs a schema with a name"
      throw new ForebayError('CONFIG_INVALID', `registered: the schema has no subject: ${fix}.`)
    }
    const { format, text, imports = [] } = this.#schema
    const schema = { format, text, imports }
    const ask = register ? registry.register(this.#subject, schema) : registry.lookup(this.#subject, schema)
    this.#schemaId = await ask
    const { messageIndex = [] } = this.#schema
    this.#keep(keyOf(this.#schemaId, this.#hasIndex ? messageIndex : []), (bytes) => this.#schema.decode(bytes))
  }

  /** Resolves also when there is nothing to be had: then `decode` says why. */
  async #fetchDecoder(schemaId: number, messageIndex: readonly number[]): Promise<void> {
    const { registry } = this.#options
    const key = keyOf(schemaId, messageIndex)
    for (let asked = 1; ; asked++) {
      try {
        const writer = await registry.schemaOf(schemaId)
        this.#keep(key, this.#decoderOf(writer, messageIndex))
        return
      } catch (error) {
        const isMissing = error instanceof ForebayError && error.code === 'SCHEMA_NOT_FOUND'
        if (!isMissing || asked >= MISSING_ASKED_MAX) {
          // Of several servers one may be behind the others, so not the first word counts.
          if (isMissing) return this.#keepRefusal(key, `the registry knows no schema ${schemaId}`)
          throw error
        }
      }
      await registry.pause(AGAIN_MS)
    }
  }

  #decoderOf(writer: Parameters<NonNullable<EventSchema['decoderOf']>>[0], messageIndex: readonly number[]) {
    try {
      return this.#schema.decoderOf!({ ...writer, messageIndex })
    } catch (error) {
      return () => {
        throw error instanceof ForebayError ? error : undecodable(messageOf(error), error)
      }
    }
  }

  /** For this time only: whoever redrives the dead letter later asks anew. */
  #keepRefusal(key: string, why: string): void {
    this.#keep(key, () => {
      this.#decoders.delete(key)
      throw undecodable(why)
    })
  }

  #keep(key: string, decode: (bytes: Uint8Array) => Data): void {
    // Nobody has so many: strangers wrote ids of their own. Those in use are asked for again.
    if (this.#decoders.size >= DECODERS_MAX) this.#decoders.clear()
    this.#decoders.set(key, decode)
  }
}

function subjectOf(
  subject: NonNullable<RegisteredOptions['subject']>,
  topic: string | null,
  recordName: string | null,
): string | null {
  if (typeof subject === 'object') return subject.name
  if (subject === 'record') return recordName
  if (topic === null) return null
  if (subject === 'topic') return `${topic}-value`
  return recordName === null ? null : `${topic}-${recordName}`
}

function keyOf(schemaId: number, messageIndex: readonly number[]): string {
  return `${schemaId}:${messageIndex.join('.')}`
}

const MISSING_ASKED_MAX = 3
/** Before it is asked again for what it did not know. ms */
const AGAIN_MS = 1_000
const DECODERS_MAX = 10_000
