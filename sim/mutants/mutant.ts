/** A bug put into a copy of one of the product's files as it is loaded; the simulation must find it. */
export interface Mutant {
  readonly name: string
  /** From the root of the repository. */
  readonly file: string
  /** Stands in the file exactly once; otherwise the mutant is stale and the run fails. */
  readonly find: string
  readonly replace: string
  /** Invariants, one of which must be broken. */
  readonly caughtBy: readonly string[]
  /** By this seed at the latest, counted from 1. */
  readonly seedsMax: number
}
