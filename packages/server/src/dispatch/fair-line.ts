import { PRIORITY_MAX } from '../task.ts'
import { Fifo } from './fifo.ts'

/**
 * What is ready and waits for capacity, and who of it goes next.
 *
 * - The highest priority goes first. One hand-over in `AGED_EVERY` goes to the priority that has waited longest
 *   instead, so that nothing starves under a stream of urgent work.
 * - Within a priority, flows take turns (deficit round robin at a cost of 1): in each round a flow hands over as many
 *   as it has weight. A flow that comes new, or comes back, stands at the end of the round.
 * - Within a flow and a priority: first in, first out.
 *
 * Each act is O(1), amortised; memory follows what is in it.
 */
export class FairLine<Entry> {
  readonly #weights: ReadonlyMap<string, number>
  readonly #levels: (Level<Entry> | undefined)[] = new Array(PRIORITY_MAX + 1).fill(undefined)
  /** Bit p is set while something of priority p waits. */
  #waiting = 0
  #handedOver = 0
  #sinceAged = 0
  #length = 0

  /** Weights of flows by name: whole numbers from 1 on; 1 for flows that are not named. */
  constructor(weights: ReadonlyMap<string, number>) {
    this.#weights = weights
  }

  get length(): number {
    return this.#length
  }

  /** `priority` is a whole number from 0 to 9. */
  push(entry: Entry, priority: number, flow: string): void {
    let level = this.#levels[priority]
    if (level === undefined) {
      level = new Level(this.#weights)
      this.#levels[priority] = level
    }
    if (level.length === 0) {
      this.#waiting |= 1 << priority
      level.waitsSince = this.#handedOver
    }
    level.push(entry, flow)
    this.#length++
  }

  shift(): Entry | undefined {
    if (this.#waiting === 0) return undefined
    const priority = this.#nextPriority()
    const level = this.#levels[priority]!
    const entry = level.shift()
    level.waitsSince = ++this.#handedOver
    this.#length--
    if (level.length === 0) this.#waiting &= ~(1 << priority)
    return entry
  }

  /** Takes out every entry for which `condition` holds: the highest priority first, each flow in its order. */
  takeWhere(condition: (entry: Entry) => boolean): Entry[] {
    const taken: Entry[] = []
    for (let priority = PRIORITY_MAX; priority >= 0; priority--) {
      const level = this.#levels[priority]
      if (level === undefined || level.length === 0) continue
      for (const entry of level.takeWhere(condition)) taken.push(entry)
      if (level.length === 0) this.#waiting &= ~(1 << priority)
    }
    this.#length -= taken.length
    return taken
  }

  #nextPriority(): number {
    const highest = 31 - Math.clz32(this.#waiting)
    const isAlone = this.#waiting === 1 << highest
    if (isAlone || ++this.#sinceAged < AGED_EVERY) return highest
    this.#sinceAged = 0
    let longest = highest
    for (let priority = 0; priority < highest; priority++) {
      if ((this.#waiting & (1 << priority)) === 0) continue
      if (this.#levels[priority]!.waitsSince < this.#levels[longest]!.waitsSince) longest = priority
    }
    return longest
  }
}

export const AGED_EVERY = 16

interface Flow<Entry> {
  readonly name: string
  readonly weight: number
  readonly entries: Fifo<Entry>
  /** Hand-overs that are left of its turn. */
  turns: number
}

/** The flows of one priority. */
class Level<Entry> {
  /** Count of hand-overs when it was served last, or when it stopped being empty. */
  waitsSince = 0
  length = 0
  readonly #weights: ReadonlyMap<string, number>
  readonly #flows = new Map<string, Flow<Entry>>()
  /** Whose turn it is. Stays when it has run empty and nobody else waits: most lines have one flow all their life. */
  #current: Flow<Entry> | undefined
  #round = new Fifo<Flow<Entry>>()

  constructor(weights: ReadonlyMap<string, number>) {
    this.#weights = weights
  }

  push(entry: Entry, name: string): void {
    const current = this.#current
    const flow = current?.name === name ? current : (this.#flows.get(name) ?? this.#join(name))
    flow.entries.push(entry)
    this.length++
  }

  /** Only while something waits. */
  shift(): Entry {
    const flow = this.#current!
    const entry = flow.entries.shift()!
    this.length--
    flow.turns--
    if (flow.entries.length === 0) {
      flow.turns = flow.weight
      if (this.#round.length > 0) {
        this.#flows.delete(flow.name)
        this.#current = this.#round.shift()
      }
    } else if (flow.turns === 0) {
      flow.turns = flow.weight
      if (this.#round.length > 0) {
        this.#round.push(flow)
        this.#current = this.#round.shift()
      }
    }
    return entry
  }

  takeWhere(condition: (entry: Entry) => boolean): Entry[] {
    const taken: Entry[] = []
    const round = new Fifo<Flow<Entry>>()
    const takeFrom = (flow: Flow<Entry>) => {
      for (const entry of flow.entries.takeWhere(condition)) taken.push(entry)
      if (flow.entries.length > 0) round.push(flow)
      else this.#flows.delete(flow.name)
    }
    if (this.#current !== undefined) takeFrom(this.#current)
    for (let flow = this.#round.shift(); flow !== undefined; flow = this.#round.shift()) takeFrom(flow)
    this.#current = round.shift()
    this.#round = round
    this.length -= taken.length
    return taken
  }

  #join(name: string): Flow<Entry> {
    const weight = this.#weights.get(name) ?? 1
    const flow = { name, weight, entries: new Fifo<Entry>(), turns: weight }
    this.#flows.set(name, flow)
    const current = this.#current
    if (current !== undefined && current.entries.length > 0) this.#round.push(flow)
    else {
      if (current !== undefined) this.#flows.delete(current.name)
      this.#current = flow
    }
    return flow
  }
}
