import { pointerText } from '../asyncapi/json.ts'
import type { Branch, SchemaRoot } from './branches.ts'

/** Why data that meets the writer's schema may not meet the reader's. */
export interface Problem {
  /** Of the data: '/address/zip', '/lines/*'; '' for all of it. */
  readonly path: string
  readonly message: string
  /** False: it may be all right, and this check cannot tell. */
  readonly isCertain: boolean
}

/** Where in the schemas, and in the data, a comparison stands. */
export interface Place {
  readonly reader: SchemaRoot
  readonly writer: SchemaRoot
  readonly path: string
  readonly namedOnly: boolean
  /** Steps into the data. */
  readonly depth: number
  /** Pairs on the way here, with the depth at which they were met. */
  readonly met: readonly { readonly reader: unknown; readonly writers: readonly unknown[]; readonly depth: number }[]
  readonly budget: { steps: number }
  /** Of values that meet all `writers`, in a member or an item. */
  readonly included: (reader: unknown, writers: readonly unknown[], place: Place) => readonly Problem[]
  /** Of values of a branch. */
  readonly takes: (reader: unknown, branch: Branch, place: Place) => readonly Problem[]
}

/** One step into the data. */
export function deeper(place: Place, name: string): Place {
  return { ...place, path: `${place.path}/${pointerText(name)}`, depth: place.depth + 1 }
}

export function undecided(place: Place, why: string): Problem {
  return { path: place.path, message: `cannot be decided: ${why}`, isCertain: false }
}

/** Certain as long as all of the branch is in sight. */
export function broken(place: Place, branch: Branch, message: string): Problem {
  return { path: place.path, message, isCertain: !branch.isLoose }
}
