/**
 * The part of a limit that falls to the owner of some of the partitions 0 to `partitions` - 1. The parts of all owners
 * add up to `total`, whoever owns what; only where there are more partitions than `total` they may exceed it, because
 * each owner of any gets at least 1. An owner of none gets 0.
 */
export function shareOf(total: number, owned: ReadonlySet<number>, partitions: number): number {
  if (owned.size === 0) return 0
  const each = Math.floor(total / partitions)
  const oneMore = total % partitions
  let share = 0
  for (const partition of owned) share += partition < oneMore ? each + 1 : each
  return Math.max(1, share)
}
