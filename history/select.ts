import type { EventOf, History, HistoryEvent } from './history.ts'

/** The events of one type, in order of time. */
export function eventsOf<Type extends HistoryEvent['type']>(history: History, type: Type): EventOf<Type>[] {
  let types = known.get(history)
  if (types === undefined) {
    types = Map.groupBy(history.events, (event) => event.type)
    known.set(history, types)
  }
  return (types.get(type) ?? []) as EventOf<Type>[]
}
const known = new WeakMap<History, Map<string, HistoryEvent[]>>()

/** The value of `key` that was met first, for each name. */
export function firstBy<Item>(items: readonly Item[], name: (item: Item) => string): Map<string, Item> {
  const first = new Map<string, Item>()
  for (const item of items) if (!first.has(name(item))) first.set(name(item), item)
  return first
}

/** One life of a task. */
export function lifeOf(event: { readonly taskId: string; readonly generation: number }): string {
  return `${event.taskId} ${event.generation}`
}

export function placeOf(place: {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}): string {
  return `${place.topic}:${place.partition}:${place.offset}`
}

/** The results that count: the first of each life, in the order of the log. */
export function winners(history: History): EventOf<'log.result'>[] {
  const inOrder = eventsOf(history, 'log.result').toSorted(
    (one, other) => one.partition - other.partition || one.offset - other.offset,
  )
  return [...firstBy(inOrder, lifeOf).values()]
}
