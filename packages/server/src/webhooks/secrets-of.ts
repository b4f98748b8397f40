import type { WebhookOptions } from '../options.ts'

/** What calls for a principal are signed with; empty: it gets none. */
export function secretsOf({ secrets, principals }: WebhookOptions, owner: string): readonly string[] {
  return principals.get(owner) ?? secrets
}
