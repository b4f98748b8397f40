/** Retry-After in both its forms, seconds or a date; null when there is none or it is neither. */
export function readRetryAfterMs(header: string | null, wallMs: number): number | null {
  if (header === null) return null
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1_000
  const atMs = Date.parse(header)
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - wallMs)
}
