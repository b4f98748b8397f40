import { ForebayError } from '@forebay/protocol'
import type { EventSchema, SchemaImport, WriterSchema } from '../../schema.ts'
import { resolveRegistry, type SchemaRegistryOptions } from './registry-options.ts'
import { RegistryRequests } from './registry-requests.ts'
import { SchemaFiles } from './schema-files.ts'

/** What is registered: a schema's format, its text, and what that imports. */
export type SchemaToRegister = Pick<EventSchema<never>, 'format' | 'text' | 'imports'>

/** A version of a subject. */
export interface SubjectVersion {
  readonly id: number
  readonly version: number
  readonly text: string
}

/**
 * A client of a schema registry that speaks Confluent's HTTP interface. Its promises reject with SCHEMA_NOT_FOUND,
 * SCHEMA_INCOMPATIBLE, SCHEMA_REFUSED, UNAUTHENTICATED, FORBIDDEN, REGISTRY_UNAVAILABLE or CLOSED.
 */
export interface SchemaRegistry extends AsyncDisposable {
  /** Address of the first server. */
  readonly url: string
  /**
   * The id of the schema, which is registered under the subject unless it is already; imports before it, each under its own
   * name. A schema that is not compatible is refused before anything is written.
   */
  register(subject: string, schema: SchemaToRegister): Promise<number>
  /** The id of the schema under the subject. SCHEMA_NOT_FOUND where it is not registered. */
  lookup(subject: string, schema: SchemaToRegister): Promise<number>
  /** Kept for good, as an id never means another schema. */
  schemaOf(id: number): Promise<WriterSchema>
  /** Kept for `latestMs`. */
  latest(subject: string): Promise<SubjectVersion>
  /** Why the schema may not follow what the subject has, by the subject's own rule; empty: it may. */
  incompatibilities(subject: string, schema: SchemaToRegister): Promise<readonly string[]>
  /** Resolves after this time, rejects with CLOSED before. */
  pause(delayMs: number): Promise<void>
  /** What is under way rejects with CLOSED. */
  close(): void
}

/** Connects to nothing yet. Throws CONFIG_INVALID. */
export function schemaRegistry(options: SchemaRegistryOptions): SchemaRegistry {
  return new HttpRegistry(options)
}

class HttpRegistry implements SchemaRegistry {
  readonly url: string
  readonly #requests: RegistryRequests
  readonly #files: SchemaFiles
  readonly #latestMs: number
  readonly #now: () => number
  readonly #schemas = new Map<number, Promise<WriterSchema>>()
  readonly #latest = new Map<string, { readonly untilMs: number; readonly found: Promise<SubjectVersion> }>()

  constructor(options: SchemaRegistryOptions) {
    const resolved = resolveRegistry(options)
    this.url = resolved.urls[0]!
    this.#requests = new RegistryRequests(resolved)
    this.#files = new SchemaFiles(resolved.cacheDir, this.url)
    this.#latestMs = resolved.latestMs
    this.#now = () => resolved.clock.monotonicMs()
  }

  register(subject: string, schema: SchemaToRegister): Promise<number> {
    return this.#idOf(subject, schema, async () => {
      const body = await this.#bodyOf(schema, (name, imported) => this.register(name, imported))
      // A schema that is there already needs no check, and the rules may have changed since.
      const known = await this.#found({ method: 'POST', path: `/subjects/${segment(subject)}`, body })
      if (known !== null) return (known as { id: number }).id
      const faults = await this.#incompatibilities(subject, body)
      if (faults.length > 0) throw incompatible(subject, faults)
      const path = `/subjects/${segment(subject)}/versions`
      const { id } = (await this.#requests.send({ method: 'POST', path, body })) as { id: number }
      this.#latest.delete(subject)
      return id
    })
  }

  lookup(subject: string, schema: SchemaToRegister): Promise<number> {
    return this.#idOf(subject, schema, async () => {
      const body = await this.#bodyOf(schema, (name, imported) => this.lookup(name, imported))
      const path = `/subjects/${segment(subject)}`
      return ((await this.#requests.send({ method: 'POST', path, body })) as { id: number }).id
    })
  }

  schemaOf(id: number): Promise<WriterSchema> {
    const known = this.#schemas.get(id)
    if (known !== undefined) return known
    const asked = this.#fetchSchema(id)
    this.#schemas.set(id, asked)
    asked.catch(() => this.#schemas.delete(id))
    return asked
  }

  latest(subject: string): Promise<SubjectVersion> {
    const known = this.#latest.get(subject)
    if (known !== undefined && known.untilMs > this.#now()) return known.found
    const path = `/subjects/${segment(subject)}/versions/latest`
    const found = this.#requests.send({ method: 'GET', path }).then((answer) => {
      const { id, version, schema } = answer as { id: number; version: number; schema: string }
      return { id, version, text: schema }
    })
    this.#latest.set(subject, { untilMs: this.#now() + this.#latestMs, found })
    found.catch(() => this.#latest.delete(subject))
    return found
  }

  async incompatibilities(subject: string, schema: SchemaToRegister): Promise<readonly string[]> {
    return this.#incompatibilities(subject, await this.#bodyOf(schema, (name, imported) => this.lookup(name, imported)))
  }

  pause(delayMs: number): Promise<void> {
    return this.#requests.pause(delayMs)
  }

  close(): void {
    this.#requests.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** From the server, and from the files where none answers. */
  async #idOf(subject: string, schema: SchemaToRegister, ask: () => Promise<number>): Promise<number> {
    const name = `id ${subject} ${JSON.stringify([schema.format, schema.text, schema.imports ?? []])}`
    try {
      const id = await ask()
      await this.#files.put(name, id)
      return id
    } catch (error) {
      const kept = isUnavailable(error) ? await this.#files.get(name) : null
      if (typeof kept === 'number') return kept
      throw error
    }
  }

  async #bodyOf(
    { format, text, imports = [] }: SchemaToRegister,
    idOf: (name: string, schema: SchemaToRegister) => Promise<number>,
  ): Promise<RegistryBody> {
    const references: Reference[] = []
    for (const [index, { name, text: imported }] of imports.entries()) {
      const above = importsWithin({ format, text: imported }, imports.slice(0, index))
      await idOf(name, { format, text: imported, imports: above })
      const path = `/subjects/${segment(name)}`
      const body = { schema: imported, schemaType: TYPES[format], references: referencesTo(above, references) }
      const { version } = (await this.#requests.send({ method: 'POST', path, body })) as { version: number }
      references.push({ name, subject: name, version })
    }
    const direct = referencesTo(importsWithin({ format, text }, imports), references)
    return { schema: text, schemaType: TYPES[format], references: direct }
  }

  async #incompatibilities(subject: string, body: RegistryBody): Promise<readonly string[]> {
    const path = `/compatibility/subjects/${segment(subject)}/versions/latest?verbose=true`
    const answer = (await this.#found({ method: 'POST', path, body })) as Compatibility | null
    // A subject that is new has nothing to be compatible with.
    if (answer === null || answer.is_compatible) return []
    const { messages = [] } = answer
    return messages.length === 0 ? ['the registry does not say why'] : messages.map(String)
  }

  async #found(request: Parameters<RegistryRequests['send']>[0]): Promise<unknown> {
    try {
      return await this.#requests.send(request)
    } catch (error) {
      if (error instanceof ForebayError && error.code === 'SCHEMA_NOT_FOUND') return null
      throw error
    }
  }

  async #fetchSchema(id: number): Promise<WriterSchema> {
    const name = `schema ${id}`
    const kept = await this.#files.get(name)
    if (kept !== null) return kept as WriterSchema
    const answer = (await this.#requests.send({ method: 'GET', path: `/schemas/ids/${id}` })) as RegistryBody
    const imports = new Map<string, SchemaImport>()
    await this.#fetchImports(answer.references ?? [], imports)
    const schema = { text: answer.schema, imports: [...imports.values()] }
    await this.#files.put(name, schema)
    return schema
  }

  async #fetchImports(references: readonly Reference[], found: Map<string, SchemaImport>, depth = 0): Promise<void> {
    if (depth > IMPORTS_DEPTH_MAX) throw new ForebayError('SCHEMA_REFUSED', 'A schema of the registry imports itself.')
    for (const { name, subject, version } of references) {
      if (found.has(name)) continue
      const path = `/subjects/${segment(subject)}/versions/${version}`
      const answer = (await this.#requests.send({ method: 'GET', path })) as RegistryBody
      await this.#fetchImports(answer.references ?? [], found, depth + 1)
      found.set(name, { name, text: answer.schema })
    }
  }
}

interface RegistryBody {
  readonly schema: string
  readonly schemaType?: string
  readonly references?: readonly Reference[]
}

interface Reference {
  readonly name: string
  readonly subject: string
  readonly version: number
}

interface Compatibility {
  readonly is_compatible: boolean
  readonly messages?: readonly unknown[]
}

/** Those that the text names itself: registries want no others. */
function importsWithin({ text }: SchemaToRegister, imports: readonly SchemaImport[]): readonly SchemaImport[] {
  return imports.filter(({ name }) => text.includes(`"${name}"`))
}

function referencesTo(imports: readonly SchemaImport[], all: readonly Reference[]): readonly Reference[] {
  return all.filter(({ name }) => imports.some((one) => one.name === name))
}

function incompatible(subject: string, faults: readonly string[]): ForebayError {
  const told = faults.slice(0, FAULTS_TOLD_MAX).join('; ')
  const fix = 'publish data of this shape as a new version of the event, or change the rule of the subject'
  return new ForebayError('SCHEMA_INCOMPATIBLE', `The schema may not follow what ${subject} has: ${told}. Fix: ${fix}.`)
}

function isUnavailable(error: unknown): boolean {
  return error instanceof ForebayError && error.code === 'REGISTRY_UNAVAILABLE'
}

function segment(name: string): string {
  return encodeURIComponent(name)
}

const TYPES = { json: 'JSON', avro: 'AVRO', protobuf: 'PROTOBUF' } as const
const IMPORTS_DEPTH_MAX = 32
const FAULTS_TOLD_MAX = 5
