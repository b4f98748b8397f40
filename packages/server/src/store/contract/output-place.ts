import assert from 'node:assert/strict'
import type { Output } from '../../task.ts'
import type { KeptOutputs, Outputs } from '../outputs.ts'
import type { Store } from '../store.ts'
import type { ContractPlace } from './contract-place.ts'

export const RUN_A = 'aaaaaaaaaaaaaaaa'
export const RUN_B = 'bbbbbbbbbbbbbbbb'
/** More than any test keeps. */
export const PAGE_BYTES = 1_000_000

export interface OpenOutputs {
  readonly store: Store
  readonly outputs: Outputs
}

export async function openOutputs(at: ContractPlace): Promise<OpenOutputs> {
  const store = await at.open()
  assert.ok(store.outputs !== null)
  return { store, outputs: store.outputs }
}

/** The chunk of that number in its run; the first chunk is the first of its run unless `change` says otherwise. */
export function chunk(taskId: string, chunks: number, body: string, change: Partial<Output> = {}): Output {
  const content = { kind: 'chunk', payload: Buffer.from(body), contentType: 'text/plain' } as const
  return { ...PLAIN_OUTPUT, taskId, chunks, first: chunks === 1, content, ...change }
}

/** A progress after as many chunks; none before it makes it the first of its run. */
export function progress(taskId: string, chunks: number, message: string, change: Partial<Output> = {}): Output {
  const content = { kind: 'progress', fraction: 0.5, message } as const
  return { ...PLAIN_OUTPUT, taskId, chunks, first: chunks === 0, content, ...change }
}

export const PLAIN_OUTPUT = {
  queue: 'orders',
  owner: 'anna',
  attempts: 1,
  generation: 0,
  run: RUN_A,
  atMs: 1_000,
} as const

/** All that is kept of a task after an offset. */
export async function read(outputs: Outputs, taskId: string, after = -1): Promise<KeptOutputs | null> {
  return outputs.read({ taskId, after, bytesMax: PAGE_BYTES })
}

/** What a reader would see: 'offset:body' of a chunk, 'offset!message' of a progress. */
export async function said(outputs: Outputs, taskId: string, after = -1): Promise<readonly string[] | null> {
  const kept = await read(outputs, taskId, after)
  return kept === null ? null : kept.outputs.map(shown)
}

export function shown({ offset, content }: KeptOutputs['outputs'][number]): string {
  return content.kind === 'chunk'
    ? `${offset}:${Buffer.from(content.payload).toString()}`
    : `${offset}!${content.message}`
}
