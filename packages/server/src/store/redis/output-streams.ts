import { chunksOf, progressOf } from '../counted-outputs.ts'
import type { KnownOfTask, StreamChange } from '../fold-outputs.ts'
import { keptPage } from '../kept-page.ts'
import type { KeptOutput, KeptOutputs, OutputsRequest } from '../outputs.ts'
import type { Argument, Reply } from './connection.ts'
import { bytes } from './task-hashes.ts'

/** As the script APPLY wants them. */
export function outputArguments(said: readonly StreamChange[]): readonly Argument[] {
  const values: Argument[] = []
  for (const change of said) {
    const { taskId, anew, generation, attempts, head, beganAt } = change
    values.push(taskId, anew ? '1' : '0', `${generation}`, `${attempts}`, head.run, `${head.chunks}`, `${beganAt}`)
    const progress = progressOf(change)
    if (progress === null) values.push('', '', '', '', '')
    else {
      const { offset, chunks, atMs, fraction, message } = progress
      values.push(`${offset}`, `${chunks}`, `${atMs}`, `${fraction ?? ''}`, message)
    }
    const added = chunksOf(change)
    values.push(`${added.length}`)
    for (const { offset, chunks, atMs, contentType, payload } of added) {
      values.push(`${offset}`, `${chunks}`, `${atMs}`, contentType, bytes(payload))
    }
  }
  return values
}

/** From one answer of KNOWN. */
export function knownOfTask(reply: Reply): KnownOfTask {
  const [generation, ended, saidIn, run, chunks] = (reply as readonly (Buffer | null)[]).map(textOrNull)
  const stream = saidIn == null ? null : { generation: Number(saidIn), run: run!, chunks: Number(chunks) }
  return { generation: Number(generation ?? -1), ended: ended === '1', stream }
}

/** From the answer of READ_OUTPUTS. */
export function keptOutputs(reply: Reply, request: OutputsRequest): KeptOutputs | null {
  const [head, entries] = reply as Partial<readonly [(Buffer | null)[], StreamEntry[]]>
  if (head === undefined || entries === undefined) return null
  const [generation, attempts, run, chunks, began, ...progress] = head.map(textOrNull)
  const stream = {
    generation: Number(generation),
    attempts: Number(attempts),
    head: { run: run!, chunks: Number(chunks) },
    beganAt: Number(began),
  }
  return keptPage(stream, entries.map(keptChunk), keptProgress(progress), request)
}

type StreamEntry = readonly [id: Buffer, fields: readonly Buffer[]]

function keptChunk([id, fields]: StreamEntry): KeptOutput {
  const [, chunks, , atMs, , contentType, , payload] = fields
  const content = { kind: 'chunk', payload: payload!, contentType: contentType!.toString() } as const
  return { offset: Number.parseInt(id.toString(), 10), chunks: Number(chunks), atMs: Number(atMs), content }
}

function keptProgress(fields: readonly (string | null)[]): KeptOutput | null {
  const [offset, chunks, atMs, fraction, message] = fields
  if (offset == null) return null
  const content = { kind: 'progress', fraction: fraction === '' ? null : Number(fraction), message: message! } as const
  return { offset: Number(offset), chunks: Number(chunks), atMs: Number(atMs), content }
}

function textOrNull(field: Buffer | null): string | null {
  return field?.toString() ?? null
}
