import type { KeptOutput, KeptOutputs, OutputsRequest } from './outputs.ts'

/** A page of what a task has said: chunks of it from `after` on, and the last progress where this page has its place. */
export function keptPage(
  stream: Pick<KeptOutputs, 'generation' | 'attempts' | 'head' | 'beganAt'>,
  chunks: readonly KeptOutput[],
  progress: KeptOutput | null,
  { after, bytesMax }: OutputsRequest,
): KeptOutputs {
  const outputs = [...chunks]
  const last = chunks.at(-1)
  const hasAllChunks = last === undefined || last.chunks === stream.head.chunks
  if (progress === null || progress.offset <= after) return { ...stream, outputs, more: !hasAllChunks }
  const place = chunks.findIndex((one) => one.offset > progress.offset)
  if (place >= 0) outputs.splice(place, 0, progress)
  else if (hasAllChunks && (last === undefined || bytesOf(chunks) < bytesMax)) outputs.push(progress)
  return { ...stream, outputs, more: !hasAllChunks || outputs.at(-1)!.offset < progress.offset }
}

function bytesOf(chunks: readonly KeptOutput[]): number {
  return chunks.reduce((bytes, { content }) => bytes + (content.kind === 'chunk' ? content.payload.length : 0), 0)
}
