import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import avro from 'avsc'
import protobuf from 'protobufjs'
import 'protobufjs/ext/descriptor.js'

interface Schema {
  readonly schema: string
  readonly schemaType: string
  readonly references: readonly unknown[]
}

interface Stored extends Schema {
  readonly id: number
  readonly version: number
  readonly subject: string
}

/**
 * A schema registry for tests, written from what Confluent publishes of theirs: it keeps everything in memory, judges
 * compatibility of Avro only (can the new schema read what the latest wrote?), takes every schema of another format for
 * compatible, and gives Protobuf as a compiled descriptor where asked for `format=serialized`.
 */
export class RegistryServer {
  readonly requests: string[] = []
  /** What the next requests are answered with instead; 'hang': not at all. */
  readonly failures: (number | 'hang')[] = []
  /** Of every request, where one is asked for. */
  authorization: string | null = null
  readonly #subjects = new Map<string, Stored[]>()
  readonly #ids = new Map<number, Schema>()
  readonly #levels = new Map<string, string>()
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch((error: unknown) =>
      send(response, 500, { error_code: 50001, message: String(error) }),
    )
  })

  async start(port = 0): Promise<string> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    return this.url
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** What it holds stays: `start` may follow. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  get subjects(): readonly string[] {
    return [...this.#subjects.keys()]
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request
    this.requests.push(`${method} ${url}`)
    const failure = this.failures.shift()
    if (failure === 'hang') return
    if (failure !== undefined) return send(response, failure, { error_code: failure * 100 + 1, message: 'as told' })
    if (this.authorization !== null && request.headers.authorization !== this.authorization) {
      return send(response, 401, { error_code: 40101, message: 'Unauthorized' })
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>)
    const { pathname, searchParams } = new URL(url, this.url)
    const path = pathname.split('/').slice(1).map(decodeURIComponent)
    const { status, answer } = this.#route(method, path, body, searchParams)
    send(response, status, answer)
  }

  #route(method: string, path: readonly string[], body: Record<string, unknown>, search: URLSearchParams): Reply {
    const [root, first, third, fourth] = path
    const what = `${method} ${root}`
    if (what === 'GET subjects' && first === undefined) return ok(this.subjects)
    if (what === 'GET schemas' && first === 'types') return ok(['AVRO', 'JSON', 'PROTOBUF'])
    if (what === 'GET schemas' && first === 'ids') return this.#byId(Number(third), search.get('format'))
    if (root === 'config') return this.#config(method, first ?? '', body)
    if (what === 'POST compatibility') return this.#compatibility(third!, path[4]!, schemaIn(body))
    if (root !== 'subjects') return refuse(404, 404, 'HTTP 404 Not Found')
    const versions = this.#subjects.get(first!) ?? []
    if (method === 'POST' && third === undefined) return this.#lookup(versions, schemaIn(body))
    if (method === 'POST') return this.#register(first!, versions, schemaIn(body))
    if (versions.length === 0) return refuse(404, 40401, `Subject '${first}' not found.`)
    if (fourth === undefined) return ok(versions.map(({ version }) => version))
    if (fourth !== 'latest' && !/^[1-9]\d*$/.test(fourth))
      return refuse(422, 42202, 'The specified version is not valid.')
    const found = fourth === 'latest' ? versions.at(-1) : versions.find(({ version }) => version === Number(fourth))
    return found === undefined ? refuse(404, 40402, `Version ${fourth} not found.`) : ok(found)
  }

  #byId(id: number, format: string | null): Reply {
    const found = this.#ids.get(id)
    if (found === undefined) return refuse(404, 40403, `Schema ${id} not found`)
    const isSerialized = format === 'serialized' && found.schemaType === 'PROTOBUF'
    return ok(isSerialized ? { ...found, schema: serialized(found.schema) } : found)
  }

  #lookup(versions: readonly Stored[], schema: Schema): Reply {
    if (!isSchema(schema)) return refuse(422, 42201, 'Invalid schema')
    if (versions.length === 0) return refuse(404, 40401, 'Subject not found.')
    const found = versions.find((one) => isSame(one, schema))
    return found === undefined ? refuse(404, 40403, 'Schema not found') : ok(found)
  }

  #register(subject: string, versions: readonly Stored[], schema: Schema): Reply {
    if (!isSchema(schema)) return refuse(422, 42201, 'Invalid schema')
    const known = versions.find((one) => isSame(one, schema))
    if (known !== undefined) return ok({ id: known.id })
    const faults = this.#faults(subject, versions.at(-1), schema)
    if (faults.length > 0) return refuse(409, 409, `Schema being registered is incompatible: ${faults.join()}`)
    const same = [...this.#ids].find(([, one]) => isSame(one, schema))
    const id = same?.[0] ?? this.#ids.size + 1
    this.#ids.set(id, schema)
    this.#subjects.set(subject, [...versions, { ...schema, subject, id, version: versions.length + 1 }])
    return ok({ id })
  }

  #compatibility(subject: string, version: string, schema: Schema): Reply {
    if (!isSchema(schema)) return refuse(422, 42201, 'Invalid schema')
    const versions = this.#subjects.get(subject)
    if (versions === undefined) return refuse(404, 40401, `Subject '${subject}' not found.`)
    const against = version === 'latest' ? versions.at(-1) : versions[Number(version) - 1]
    if (against === undefined) return refuse(404, 40402, 'Version not found.')
    const messages = this.#faults(subject, against, schema)
    return ok({ is_compatible: messages.length === 0, messages })
  }

  #config(method: string, subject: string, body: Record<string, unknown>): Reply {
    if (method === 'PUT') {
      this.#levels.set(subject, String(body.compatibility))
      return ok({ compatibility: body.compatibility })
    }
    return ok({ compatibilityLevel: this.#levels.get(subject) ?? 'BACKWARD' })
  }

  #faults(subject: string, latest: Stored | undefined, schema: Schema): string[] {
    if (latest === undefined || schema.schemaType !== 'AVRO') return []
    if (this.#levels.get(subject) === 'NONE') return []
    try {
      typeOf(schema).createResolver(typeOf(latest))
      return []
    } catch (error) {
      return [(error as Error).message]
    }
  }
}

interface Reply {
  readonly status: number
  readonly answer: unknown
}

const ok = (answer: unknown): Reply => ({ status: 200, answer })
const refuse = (status: number, code: number, message: string): Reply => {
  return { status, answer: { error_code: code, message } }
}

function send(response: ServerResponse, status: number, answer: unknown): void {
  response.writeHead(status, { 'content-type': 'application/vnd.schemaregistry.v1+json' })
  response.end(JSON.stringify(answer))
}

function schemaIn({ schema, schemaType = 'AVRO', references }: Record<string, unknown>): Schema {
  return { schema: String(schema), schemaType: String(schemaType), references: (references ?? []) as unknown[] }
}

function isSame(one: Schema, other: Schema): boolean {
  return one.schema === other.schema && one.schemaType === other.schemaType
}

/** Avro's with references are taken at their word. */
function isSchema(schema: Schema): boolean {
  if (schema.schemaType !== 'AVRO' || schema.references.length > 0) return true
  try {
    typeOf(schema)
    return true
  } catch {
    return false
  }
}

function typeOf({ schema }: Schema) {
  return avro.Type.forSchema(/^[a-z]+$/.test(schema) ? schema : JSON.parse(schema))
}

/** What Python's client wants: one file's descriptor. */
export function serialized(schema: string): string {
  if (!schema.includes('{')) return schema
  const root = protobuf.parse(schema, new protobuf.Root()).root.resolveAll() as protobuf.Root
  const { file } = root.toDescriptor('proto3')
  const type = (file as unknown as protobuf.Message[]).find(
    (one) => (one as { messageType?: unknown[] }).messageType?.length,
  )!
  return Buffer.from((type.$type as protobuf.Type).encode(type).finish()).toString('base64')
}
