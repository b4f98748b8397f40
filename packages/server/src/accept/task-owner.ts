import { type AccessKey, ANONYMOUS, type IsOperator } from './principal.ts'
import type { TaskIds } from './task-id.ts'

/**
 * As whom a principal asks for a task: as itself, or where it is an operator and the id is another's, as that one. An
 * id does not name its owner, but it can be tried with everybody who has a key.
 */
export type TaskOwner = (text: string, principal: string) => string

export interface TaskOwnerParts {
  readonly ids: TaskIds
  readonly isOperator: IsOperator
  readonly keys: readonly AccessKey[]
}

export function taskOwner({ ids, isOperator, keys }: TaskOwnerParts): TaskOwner {
  const principals = new Set([...keys.map((key) => key.principal), ANONYMOUS])
  return (text, principal) => {
    if (!isOperator(principal) || ids.read(text, principal) !== null) return principal
    for (const other of principals) if (ids.read(text, other) !== null) return other
    return principal
  }
}
