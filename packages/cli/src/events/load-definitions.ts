import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { AsyncApiServer, AsyncApiService, EventDefinition } from '@forebay/events'
import { CommandError, EXIT } from '../exit-codes.ts'

/** What a module of definitions exports, under whatever names. */
export interface Definitions {
  readonly events: readonly EventDefinition[]
  /** Its exports `services` and `servers`, where it has such. */
  readonly services: Readonly<Record<string, AsyncApiService>>
  readonly servers: Readonly<Record<string, AsyncApiServer>>
}

/** Imports a module, TypeScript too: each export that is a definition or a list of such counts. It runs, so trust it. */
export async function loadDefinitions(file: string): Promise<Definitions> {
  const exported = await importModule(file)
  const { services = {}, servers = {}, ...others } = exported
  const values = Object.values(others).flatMap((value: unknown) =>
    Array.isArray(value) ? (value as unknown[]) : [value],
  )
  const events = [...new Set(values.filter(isDefinition))]
  if (events.length === 0 && Object.keys(services as object).length === 0) {
    throw new CommandError(EXIT.failed, `${file} exports no definition of an event.`, {
      fix: ['Export what defineEvent returns, as: export const accountCreated = defineEvent(…)'],
    })
  }
  return {
    events,
    services: services as Definitions['services'],
    servers: servers as Definitions['servers'],
  }
}

async function importModule(file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(pathToFileURL(resolve(file)).href)) as Readonly<Record<string, unknown>>
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new CommandError(EXIT.failed, `${file} cannot be imported: ${why}`, {
      fix: ['It must be a module that Node runs as it is: JavaScript, or TypeScript whose types can be stripped.'],
      cause,
    })
  }
}

function isDefinition(value: unknown): value is EventDefinition {
  if (typeof value !== 'object' || value === null) return false
  const { name, version, topic, keyOf } = value as Partial<EventDefinition>
  return typeof name === 'string' && typeof version === 'number' && typeof topic === 'string' && keyOf !== undefined
}
