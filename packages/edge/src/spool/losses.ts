import type { RecordToPublish } from '@forebay/broker'
import type { Loss } from '../dropped.ts'
import type { DroppedRow } from '../row.ts'
import { readPosition } from '../source-position.ts'
import { frameEnd, unpackFrame } from './frame.ts'
import type { Torn } from './segments.ts'

export interface Losses {
  /** What is lost only now. */
  readonly fresh: readonly Loss[]
  /** The same and what rows that are lost said of others: one for each epoch of a source and reason. */
  readonly toTell: readonly Loss[]
}

/** What is lost with the frames from `from` on. */
export function lossesIn(content: Buffer, from: number): Losses {
  const fresh = new Map<string, Loss>()
  const toTell = new Map<string, Loss>()
  let at = from
  for (let end = frameEnd(content, at); end !== null; end = frameEnd(content, at)) {
    for (const record of unpackFrame(content, at, end)) {
      const dropped = droppedIn(record)
      const position = readPosition(record)
      if (dropped !== null) add(toTell, dropped)
      else if (position !== null) {
        const loss: Loss = { reason: 'spool-full', ...position, lines: 1 }
        add(fresh, loss)
        add(toTell, loss)
      }
    }
    at = end
  }
  return { fresh: [...fresh.values()], toTell: [...toTell.values()] }
}

function add(losses: Map<string, Loss>, loss: Loss): void {
  // What a collector missed after an epoch has no end; joined with what it missed in it, it would cover all of the epoch.
  const key = `${loss.reason} ${loss.source}@${loss.epoch} ${loss.end === null}`
  const known = losses.get(key)
  losses.set(key, known === undefined ? loss : joined(known, loss))
}

function joined(one: Loss, other: Loss): Loss {
  const end = one.end === null || other.end === null ? null : Math.max(one.end, other.end)
  const lines = one.lines === null || other.lines === null ? null : one.lines + other.lines
  return { ...one, first: Math.min(one.first, other.first), end, lines, ...joinedTimes(one, other) }
}

/** ISO times of one form: their order is that of their characters. */
export function joinedTimes(one: Loss, other: Loss): Pick<Loss, 'from' | 'until'> {
  if (one.until === undefined || other.until === undefined) return {}
  const [from = null] = one.from == null || other.from == null ? [] : [one.from, other.from].sort()
  const [, until] = [one.until, other.until].sort() as [string, string]
  return { from, until }
}

/** Which lines stood there nobody can say any more. */
export function tornLoss({ segment, from, bytes }: Torn, source: string): Loss {
  return { reason: 'spool-torn', source, epoch: `segment-${segment}`, first: from, end: from + bytes, lines: null }
}

function droppedIn({ value }: RecordToPublish): Loss | null {
  const text = Buffer.from(value.buffer, value.byteOffset, Math.min(value.length, DROPPED.length)).toString('latin1')
  if (text !== DROPPED) return null
  const { v, kind, time, ...loss } = JSON.parse(Buffer.from(value).toString()) as DroppedRow
  return loss
}

const DROPPED = '{"v":1,"kind":"dropped",'
