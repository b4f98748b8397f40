import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { DescribedEvent } from '@forebay/events'
import { parse } from 'yaml'
import { CommandError, EXIT } from '../exit-codes.ts'
import { loadDefinitions } from './load-definitions.ts'

/** Events as a file or a folder tells of them. */
export interface EventsRead {
  readonly events: readonly DescribedEvent[]
  /** One schema alone: its file's name says which event it is of, and need not. */
  readonly isOneSchema: boolean
}

/** A module of definitions, an AsyncAPI 3 document, a schema, or a folder of schemas. */
export async function readEvents(path: string): Promise<EventsRead> {
  if (isFolder(path)) {
    const files = readdirSync(path).filter((file) => SCHEMA_FILE.test(file))
    if (files.length === 0) throw unreadable(path, 'has no schema in it: no .json, .avsc or .proto')
    return { events: await Promise.all(files.sort().map((file) => schemaFile(join(path, file)))), isOneSchema: false }
  }
  if (/\.[cm]?[jt]s$/.test(path)) {
    const { describeDefinition } = await import('@forebay/events')
    const { events, services } = await loadDefinitions(path)
    const all = Object.values(services).flatMap(({ publishes = [], subscribes = [] }) => [...publishes, ...subscribes])
    return { events: [...new Set([...events, ...all])].map(describeDefinition), isOneSchema: false }
  }
  const document = /\.(ya?ml|json)$/.test(path) ? parsed(path) : null
  if (typeof document === 'object' && document !== null && 'asyncapi' in document) {
    const { describeDocument } = await import('@forebay/events')
    return { events: describeDocument(document), isOneSchema: false }
  }
  if (!SCHEMA_FILE.test(path)) {
    throw unreadable(
      path,
      'is none of: a module (.ts, .js), an AsyncAPI document, a schema (.json, .avsc, .proto), a folder',
    )
  }
  return { events: [await schemaFile(path)], isOneSchema: true }
}

const SCHEMA_FILE = /\.(json|avsc|proto)$/
const FORMATS = { json: 'json', avsc: 'avro', proto: 'protobuf' } as const

/** 'account_created.v2.json': its name and version; without a version it is the first. */
async function schemaFile(path: string): Promise<DescribedEvent> {
  const { describeSchema } = await import('@forebay/events')
  const [, name = '', version = '1', kind = 'json'] =
    /^(.+?)(?:\.v([1-9]\d*))?(?:\.schema)?\.(json|avsc|proto)$/.exec(basename(path)) ?? []
  const schema = describeSchema(FORMATS[kind as keyof typeof FORMATS], text(path))
  return { name, version: Number(version), topic: null, isKeyed: null, schema }
}

function parsed(path: string): unknown {
  try {
    return parse(text(path)) as unknown
  } catch (cause) {
    throw unreadable(path, `is not YAML or JSON: ${(cause as Error).message}`)
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw unreadable(path, `cannot be read: ${(cause as Error).message}`)
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

function unreadable(path: string, why: string): CommandError {
  return new CommandError(EXIT.usage, `${path} ${why}.`)
}
