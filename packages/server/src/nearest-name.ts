/** The known name that was probably meant; null when none is near enough to be worth a guess. */
export function nearestName(wanted: string, known: Iterable<string>): string | null {
  const asked = wanted.slice(0, NAME_LENGTH_MAX).toLowerCase()
  let best: string | null = null
  let bestDistance = Math.max(1, Math.floor(asked.length / 3)) + 1
  for (const name of known) {
    // A common beginning is a hint of its own: 'retries' means 'retry'.
    const bonus = asked.length >= HINT_LENGTH && name.toLowerCase().startsWith(asked.slice(0, HINT_LENGTH)) ? 1 : 0
    if (Math.abs(name.length - asked.length) - bonus >= bestDistance) continue
    const distance = editDistance(asked, name.toLowerCase()) - bonus
    if (distance < bestDistance) {
      best = name
      bestDistance = distance
    }
  }
  return best
}

/** A caller may send anything as a name; what is compared of it is bounded. */
const NAME_LENGTH_MAX = 100
const HINT_LENGTH = 4

/** Insertions, removals, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1))
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (swapped) cost = Math.min(cost, beforeLast[column - 2]! + 1)
      current.push(cost)
    }
    beforeLast = last
    last = current
  }
  return last[b.length]!
}
