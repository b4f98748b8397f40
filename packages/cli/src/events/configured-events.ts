import type { EventDefinition } from '@forebay/events'
import type { ServerOptions } from '@forebay/server/configuration'

/**
 * The events that callers may publish at the gateway, but for those that `known` defines in the same version: a module
 * says more of them.
 */
export async function configuredEvents(
  events: ServerOptions['events'],
  known: readonly EventDefinition[],
): Promise<readonly EventDefinition[]> {
  const { defineEvent, jsonSchema } = await import('@forebay/events')
  const defined = new Set(known.map(({ name, version }) => `${name} ${version}`))
  return [...events.values()].flatMap(({ name, topic, schemas }) => {
    // Without schemas any data is taken.
    const versions: readonly (readonly [number, object])[] = schemas.size === 0 ? [[1, {}]] : [...schemas]
    return versions
      .filter(([version]) => !defined.has(`${name} ${version}`))
      .map(([version, schema]) => defineEvent(name, { version, topic, schema: jsonSchema(schema), key: keyOfCaller }))
  })
}

/** What a caller sends as `partitionkey`. */
const keyOfCaller = () => null
