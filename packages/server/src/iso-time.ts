/** A moment in ISO 8601. On the hot path many fall into one millisecond, and those share the text. */
export function isoTime(ms: number): string {
  if (ms !== lastMs) {
    lastIso = new Date(ms).toISOString()
    lastMs = ms
  }
  return lastIso
}

let lastMs = 0
let lastIso = new Date(0).toISOString()
