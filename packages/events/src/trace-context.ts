import { type Random, systemRandom } from '@forebay/broker'

/**
 * A span of its own within the trace of an event (`event.traceparent`), for what its handler calls or publishes: same
 * trace, same flags. Without a trace, or with one that is none, a new one begins, which nobody has asked to sample.
 */
export function childTraceparent(parent: string | null, random: Random = systemRandom): string {
  const [, traceId, flags] = TRACEPARENT.exec(parent ?? '') ?? []
  return `00-${traceId ?? idOf(16, random)}-${idOf(8, random)}-${flags ?? '00'}`
}

/** Of any version; an id of zeroes is none. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:$|-)/

function idOf(length: number, random: Random): string {
  const bytes = Buffer.alloc(length)
  do random.fill(bytes)
  while (bytes.every((byte) => byte === 0))
  return bytes.toString('hex')
}
