/** Ms of '500ms', '30s', '10m', '24h', '7d' (fractions too: '1.5s'), or of a plain number of ms. Null for anything else. */
export function parseDuration(given: unknown): number | null {
  if (typeof given === 'number') return Number.isInteger(given) && given >= 0 ? given : null
  if (typeof given !== 'string') return null
  const [, amount, unit] = DURATION.exec(given.trim()) ?? []
  if (amount === undefined) return null
  const ms = Number(amount) * MS_OF[unit ?? 'ms']!
  return Number.isSafeInteger(ms) ? ms : null
}

/** The shortest exact way to say it: '30s', '10m'. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const unitMs = MS_OF[unit]!
    if (ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs}${unit}`
  }
  return `${ms}ms`
}

export const DURATION_PATTERN = '^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)?$'
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/
const MS_OF: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
