import { ACCEPT_MUTANTS } from './accept.ts'
import { DISPATCH_MUTANTS } from './dispatch.ts'
import { FINISH_MUTANTS } from './finish.ts'
import { LOG_MUTANTS } from './log.ts'
import type { Mutant } from './mutant.ts'
import { PARKING_MUTANTS } from './parking.ts'
import { REPLY_MUTANTS } from './reply.ts'
import { STORE_MUTANTS } from './store.ts'

/** Bugs that others have had, or that are near at hand here; the simulation finds every one of them. */
export const MUTANTS: readonly Mutant[] = [
  ...ACCEPT_MUTANTS,
  ...DISPATCH_MUTANTS,
  ...PARKING_MUTANTS,
  ...FINISH_MUTANTS,
  ...REPLY_MUTANTS,
  ...STORE_MUTANTS,
  ...LOG_MUTANTS,
]
