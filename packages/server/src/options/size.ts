/** Bytes of '512KiB', '1MiB', '2GiB', '100kB', '5MB', '10B', or of a plain number of bytes. Null for anything else. */
export function parseSize(given: unknown): number | null {
  if (typeof given === 'number') return Number.isInteger(given) && given >= 0 ? given : null
  if (typeof given !== 'string') return null
  const [, amount, unit] = SIZE.exec(given.trim()) ?? []
  if (amount === undefined) return null
  const bytes = Number(amount) * BYTES_OF[unit ?? 'B']!
  return Number.isSafeInteger(bytes) ? bytes : null
}

export function formatSize(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const unitBytes = BYTES_OF[unit]!
    if (bytes >= unitBytes && bytes % unitBytes === 0) return `${bytes / unitBytes}${unit}`
  }
  return `${bytes}B`
}

export const SIZE_PATTERN = '^[0-9]+(\\.[0-9]+)? ?(B|kB|MB|GB|KiB|MiB|GiB)?$'
const SIZE = /^(\d+(?:\.\d+)?) ?(B|kB|MB|GB|KiB|MiB|GiB)?$/
const BYTES_OF: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1_000,
  MB: 1_000_000,
  GB: 1_000_000_000,
  KiB: 1_024,
  MiB: 1_048_576,
  GiB: 1_073_741_824,
}
