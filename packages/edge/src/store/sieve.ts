import { createHash } from 'node:crypto'
import { Intervals } from '../intervals.ts'
import type { Catalogue, Taken } from './catalogue.ts'
import type { IncomingRow } from './parquet-writer.ts'

/** Tells rows that have come before: by their bytes of a source, or as a whole where they have none. */
export class Sieve {
  readonly #catalogue: Pick<Catalogue, 'places' | 'hasDrop'>
  readonly #places = new Map<string, Intervals>()

  constructor(catalogue: Pick<Catalogue, 'places' | 'hasDrop'>) {
    this.#catalogue = catalogue
  }

  /** One group of rows; nothing of it is remembered before `commit`. */
  begin(): Sifting {
    const changed = new Map<string, Intervals>()
    const drops = new Set<string>()
    return {
      taken: { places: changed, drops },
      isNew: (row) => {
        const source = `${row.source}@${row.epoch}`
        const id = dropIdOf(row)
        if (id !== null) {
          if (drops.has(id) || this.#catalogue.hasDrop(id)) return false
          drops.add(id)
          return true
        }
        let places = changed.get(source)
        if (places === undefined) {
          places = new Intervals(this.#known(source).bounds)
          changed.set(source, places)
        }
        return places.add(row.first, row.end)
      },
      commit: () => {
        if (this.#places.size > SOURCES_MAX) this.#places.clear()
        for (const [source, places] of changed) this.#places.set(source, places)
      },
    }
  }

  #known(source: string): Intervals {
    return this.#places.get(source) ?? this.#catalogue.places(source)
  }
}

interface Sifting {
  /** Grows with each new row. */
  readonly taken: Taken
  isNew(row: IncomingRow): boolean
  commit(): void
}

/** Of a row of `dropped`; null for others. */
export function dropIdOf(row: IncomingRow): string | null {
  if (!isDrop(row)) return null
  const source = `${row.source}@${row.epoch}`
  return createHash('sha256').update(source).update('\n').update(row.document).digest('base64url')
}

/** These name bytes that others may still bring, so they are told apart by what they say. */
function isDrop({ first, end, document }: IncomingRow): boolean {
  return first === end || DROPPED.test(document.slice(0, DROPPED_WITHIN))
}

const DROPPED = /"kind"\s*:\s*"dropped"/
const DROPPED_WITHIN = 64
/** Kept in memory; others are read from the catalogue. */
const SOURCES_MAX = 10_000
