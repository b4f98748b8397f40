/** The steps of a JSON pointer (RFC 6901): '/customer/id' leads through 'customer' and 'id'. */
export function pointerSteps(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** Undefined where the steps lead nowhere. */
export function followSteps(root: unknown, steps: readonly string[]): unknown {
  let at = root
  for (const step of steps) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined
    if (Array.isArray(at) && !ARRAY_INDEX.test(step)) return undefined
    at = (at as Record<string, unknown>)[step]
  }
  return at
}

const ARRAY_INDEX = /^(?:0|[1-9]\d*)$/

/** Text as it is, whole numbers in decimal; larger ones would run together where JSON's numbers lose digits. */
export function nameOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : undefined
}
