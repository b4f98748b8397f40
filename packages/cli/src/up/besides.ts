import type { Beside } from '@forebay/server'

/** Several parts as one; null where there are none. */
export function besides(parts: readonly (Beside | null)[]): Beside | null {
  const there = parts.filter((part) => part !== null)
  if (there.length < 2) return there[0] ?? null
  return {
    topics: there.flatMap(({ topics }) => topics),
    async start(opened) {
      for (const part of there) await part.start(opened)
    },
    problems: () => there.flatMap((part) => part.problems()),
    async stop(graceMs) {
      await Promise.all(there.map((part) => part.stop(graceMs)))
    },
  }
}
