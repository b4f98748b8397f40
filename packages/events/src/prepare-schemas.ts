import type { EventDefinition } from './define-event.ts'

/**
 * Fetches what the schemas of these events need before they are written: ids of a registry. `createProducer` does it; do it
 * for an outbox. Rejects as the registry's `register` does.
 */
export async function prepareSchemas(events: readonly Pick<EventDefinition, 'schema'>[]): Promise<void> {
  await Promise.all(events.map(({ schema }) => schema.prepare?.()))
}
