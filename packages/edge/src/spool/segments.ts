import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { flushFolder } from '@forebay/broker/durable-file'
import { frameEnd } from './frame.ts'

/** One file of a spool. */
export interface Segment {
  readonly number: number
  readonly path: string
  /** Sound bytes. */
  bytes: number
}

export interface Torn {
  readonly segment: number
  readonly from: number
  readonly bytes: number
}

/** Segments of a folder in order, each cut back to its sound frames, and what was cut off. */
export async function openSegments(dir: string): Promise<{ segments: Segment[]; torn: Torn[] }> {
  await mkdir(dir, { recursive: true })
  const numbers = (await readdir(dir)).flatMap((name) => (NAME.test(name) ? [Number.parseInt(name, 10)] : []))
  const segments: Segment[] = []
  const torn: Torn[] = []
  for (const number of numbers.sort((one, other) => one - other)) {
    const path = segmentPath(dir, number)
    const content = await readFile(path)
    let at = 0
    for (let end = frameEnd(content, at); end !== null; end = frameEnd(content, at)) at = end
    if (at < content.length) {
      torn.push({ segment: number, from: at, bytes: content.length - at })
      await cut(path, at)
    }
    segments.push({ number, path, bytes: at })
  }
  return { segments, torn }
}

export function segmentPath(dir: string, number: number): string {
  return join(dir, `${String(number).padStart(12, '0')}.spool`)
}

export async function removeSegment(dir: string, { path }: Segment): Promise<void> {
  await rm(path, { force: true })
  await flushFolder(dir)
}

const NAME = /^\d{12}\.spool$/

async function cut(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.truncate(bytes)
    await file.datasync()
  } finally {
    await file.close()
  }
}
