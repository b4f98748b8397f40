import type { Outcome } from '@forebay/protocol'

/** Cuts a list of outcomes where a message would grow too large; a single larger one goes alone. */
export function inFrames(outcomes: readonly Outcome[]): Outcome[][] {
  const frames: Outcome[][] = []
  let frame: Outcome[] = []
  let bytes = 0
  for (const outcome of outcomes) {
    const size = sizeOf(outcome)
    if (frame.length > 0 && bytes + size > FRAME_BYTES_MAX) {
      frames.push(frame)
      frame = []
      bytes = 0
    }
    frame.push(outcome)
    bytes += size
  }
  frames.push(frame)
  return frames
}

/** gRPC servers refuse 4 MiB unless told otherwise. */
const FRAME_BYTES_MAX = 1024 * 1024

function sizeOf({ end }: Outcome): number {
  if (end.case === 'success') return end.value.payload.length + OUTCOME_BYTES
  return end.case === 'failure' ? end.value.message.length + OUTCOME_BYTES : OUTCOME_BYTES
}

/** What an outcome weighs beside its payload or message, roughly. */
const OUTCOME_BYTES = 64
