import { open, stat } from 'node:fs/promises'
import { systemClock } from '@forebay/broker'
import type { CheckedLines } from '@forebay/edge'
import type { ServerOptions } from '@forebay/server'
import { printable } from '../printable.ts'
import { type Finding, found } from './finding.ts'
import { messageOf } from './reach.ts'

type FollowedFile = ServerOptions['edge']['files'][number]

/** Whether the files can be read, and hold what the collector is told to expect. */
export async function checkFiles({ edge }: ServerOptions): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  for (const file of edge.files) findings.push(await checkFile(file))
  return findings
}

async function checkFile({ path, format }: FollowedFile): Promise<Finding> {
  const tail = await readTail(path)
  if ('why' in tail) {
    return found(
      'log format',
      'fail',
      path,
      `cannot be read (${tail.why})`,
      'Does nginx write there (access_log)? May the user of the collector read it?',
    )
  }
  const age = `written to ${agoOf(tail.changedMs)}`
  if (tail.bytes.length === 0) {
    return found(
      'log format',
      'warn',
      path,
      `has no whole line yet; ${age}`,
      'Send a request through nginx, and ask again.',
    )
  }
  const { checkLines } = await import('@forebay/edge')
  return judged(path, format, checkLines(tail.bytes, format, systemClock), age)
}

function judged(path: string, format: FollowedFile['format'], checked: CheckedLines, age: string): Finding {
  const { lines, odd, strange, lastTime } = checked
  const [first] = odd
  if (first !== undefined) {
    const text = printable(first.bytes.subarray(0, SHOWN_BYTES).toString())
    const saw = `${odd.length} of the last ${lines} lines cannot be read as ${format} (${first.reason}), the first: ${text}`
    const fix =
      format === 'json'
        ? 'Let nginx write the format of `forebay nginx` (log_format forebay escape=json); or set edge.files[].format to what it writes.'
        : `Correct edge.files[].format: json, combined, common or log.`
    return found('log format', 'fail', path, saw, fix)
  }
  if (strange > 0) {
    return found(
      'log format',
      'warn',
      path,
      `${strange} of the last ${lines} lines are JSON, but no access rows of version 1 (v, kind, status)`,
      'Let nginx write the format of `forebay nginx`; or, where a service writes them, set format: log.',
    )
  }
  const version = format === 'json' ? ', version 1' : ''
  return found(
    'log format',
    'ok',
    path,
    `the last ${lines} lines are ${format}${version}; the newest is of ${lastTime ?? 'no time'}, ${age}`,
  )
}

/** Whole lines only. */
async function readTail(
  path: string,
): Promise<{ readonly bytes: Buffer; readonly changedMs: number } | { readonly why: string }> {
  try {
    const { size, mtimeMs } = await stat(path)
    const from = Math.max(0, size - TAIL_BYTES)
    const file = await open(path, 'r')
    try {
      const buffer = Buffer.alloc(size - from)
      const { bytesRead } = await file.read(buffer, 0, buffer.length, from)
      const read = buffer.subarray(0, bytesRead)
      const begin = from === 0 ? 0 : read.indexOf(NEWLINE) + 1
      return { bytes: read.subarray(begin, Math.max(begin, read.lastIndexOf(NEWLINE) + 1)), changedMs: mtimeMs }
    } finally {
      await file.close()
    }
  } catch (error) {
    return { why: messageOf(error) }
  }
}

function agoOf(wallMs: number): string {
  const seconds = Math.max(0, Math.round((systemClock.wallMs() - wallMs) / 1_000))
  if (seconds < 120) return `${seconds} s ago`
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3_600)} h ago`
}

const NEWLINE = 10
const TAIL_BYTES = 256 * 1024
/** Of a line that is shown. */
const SHOWN_BYTES = 120
