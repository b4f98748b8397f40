import type { Outcome, Output } from '@forebay/protocol'

/** What one message carries; a server takes the outputs first. */
export interface Frame {
  readonly outputs: Output[]
  readonly outcomes: Outcome[]
}

/**
 * Cuts what there is to say where a message would grow too large; a single larger piece goes alone. Outputs come first:
 * no chunk may follow the outcome of its attempt. At least one frame, empty when there is nothing to say.
 */
export function inFrames(outputs: readonly Output[], outcomes: readonly Outcome[]): Frame[] {
  const frames: Frame[] = []
  let frame: Frame = { outputs: [], outcomes: [] }
  let bytes = 0
  const makeRoom = (size: number) => {
    if (bytes > 0 && bytes + size > FRAME_BYTES_MAX) {
      frames.push(frame)
      frame = { outputs: [], outcomes: [] }
      bytes = 0
    }
    bytes += size
  }
  for (const output of outputs) {
    makeRoom(sizeOfOutput(output))
    frame.outputs.push(output)
  }
  for (const outcome of outcomes) {
    makeRoom(sizeOf(outcome))
    frame.outcomes.push(outcome)
  }
  frames.push(frame)
  return frames
}

/** gRPC servers refuse 4 MiB unless told otherwise. */
const FRAME_BYTES_MAX = 1024 * 1024

function sizeOf({ end }: Outcome): number {
  if (end.case === 'success') return end.value.payload.length + PIECE_BYTES
  return end.case === 'failure' ? end.value.message.length + PIECE_BYTES : PIECE_BYTES
}

function sizeOfOutput({ content }: Output): number {
  if (content.case === 'chunk') return content.value.payload.length + PIECE_BYTES
  return content.case === 'progress' ? content.value.message.length + PIECE_BYTES : PIECE_BYTES
}

/** What an outcome or an output weighs beside its payload or message, roughly. */
const PIECE_BYTES = 64
