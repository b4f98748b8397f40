import type { Clock } from '@forebay/broker'
import type { Loss } from '../dropped.ts'
import { joinedTimes } from '../spool/losses.ts'
import type { FoundNote } from './note-file.ts'

export interface Run {
  readonly source: string
  readonly epoch: string
  /** When the socket was bound. Wall ms. */
  readonly boundMs: number
}

/**
 * What a UDP door knows of the time in which it was not there, and what has to be told of it. Two things are lost then: what
 * arrives meanwhile, and the first line of a sender whose socket is connected, as nginx's is: the kernel tells it of the datagram
 * that nobody took in the place of sending the next. So whoever speaks for the first time after a start may have lost a line since.
 *
 * It goes from run to run in a note. What is in its `untold` is told again by the next run when nobody knows whether it was,
 * with the same bytes.
 */
export class Absence {
  readonly #run: Run
  readonly #clock: Clock
  readonly #boundAtMs: number
  readonly #senders = new Map<string, Sender>()
  /** Until when somebody may have lost a line, by the ms since when. */
  readonly #fresh = new Map<number, number>()
  #untold: Loss[]
  /** From when on a sender that nobody knows may have lost a line; null where nobody missed anything. */
  readonly #newSinceMs: number | null
  #receivedMs: number
  #turn = 1

  constructor(found: FoundNote, run: Run, clock: Clock) {
    this.#run = run
    this.#clock = clock
    this.#boundAtMs = clock.monotonicMs()
    this.#receivedMs = run.boundMs
    const before = found.state === 'found' ? readNote(found.text) : null
    this.#newSinceMs = found.state === 'none' ? null : (before?.newSinceMs ?? run.boundMs)
    for (const [address, port, sinceMs, hasHeir] of before?.senders ?? []) {
      const sender = { address, port, sinceMs: sinceMs ?? run.boundMs, hasHeir, hasSpoken: false, turn: 0 }
      this.#senders.set(senderKey(address, port), sender)
    }
    this.#untold = [...(before?.untold ?? [])]
    if (found.state !== 'none') this.#untold.push(missed(before, run))
    while (this.#untold.length > UNTOLD_MAX) {
      const [one, other] = this.#untold.splice(0, 2) as [Loss, Loss]
      this.#untold.unshift({ ...one, ...joinedTimes(one, other) })
    }
  }

  /** Rows that are to be told, once they are in the note. */
  get untold(): readonly Loss[] {
    return this.#untold
  }

  /** A line came. */
  heard(address: string, port: number): void {
    const key = senderKey(address, port)
    const known = this.#senders.get(key)
    if (known !== undefined && (known.sinceMs === null || known.hasSpoken)) {
      known.turn = this.#turn
      return
    }
    const sinceMs = known === undefined ? this.#newcomerSince(address) : known.sinceMs
    if (sinceMs !== null) this.#fresh.set(sinceMs, this.#clock.wallMs())
    if (known === undefined && this.#senders.size >= SENDERS_MAX) this.#forgetOne()
    const hasHeir = known?.hasHeir ?? false
    this.#senders.set(key, { address, port, sinceMs, hasHeir, hasSpoken: true, turn: this.#turn })
  }

  /** Everything that was sent before is in the spool, or told there. */
  received(untilMs: number): void {
    this.#receivedMs = untilMs
  }

  /** For the note; from now on what is `untold` has its final form. */
  note(first: number): string {
    this.#turn++
    if (this.#untold.length === 0 && this.#fresh.size > 0) this.#fix(first)
    const isNew = this.#clock.monotonicMs() - this.#boundAtMs < NEWCOMER_MS
    const { source, epoch } = this.#run
    const note: Note = {
      ...{ v: 1, source, epoch, first, receivedMs: this.#receivedMs, newSinceMs: isNew ? this.#newSinceMs : null },
      senders: [...this.#senders.values()].map((one) => [one.address, one.port, one.sinceMs, one.hasHeir]),
      untold: this.#untold,
    }
    return JSON.stringify(note)
  }

  /** The rows of `untold` are in the spool. */
  told(): void {
    this.#untold = []
  }

  #fix(first: number): void {
    const { source, epoch } = this.#run
    const place = { reason: 'not-running', source, epoch, first, end: first, lines: null } as const
    this.#untold = [...this.#fresh].map(([sinceMs, untilMs]) => ({ ...place, ...stretch(sinceMs, untilMs) }))
    this.#fresh.clear()
    for (const sender of this.#senders.values()) {
      if (sender.hasSpoken) Object.assign(sender, { sinceMs: null, hasSpoken: false })
    }
  }

  /** One that is new some time after the start may be one that is waited for: newer nginx takes a new port after each failure. */
  #newcomerSince(address: string): number | null {
    for (const sender of this.#senders.values()) {
      if (sender.address !== address || sender.sinceMs === null || sender.hasSpoken || sender.hasHeir) continue
      sender.hasHeir = true
      return sender.sinceMs
    }
    return this.#clock.monotonicMs() - this.#boundAtMs < NEWCOMER_MS ? this.#newSinceMs : null
  }

  #forgetOne(): void {
    let oldest: readonly [string, Sender] | null = null
    for (const one of this.#senders) if (oldest === null || one[1].turn < oldest[1].turn) oldest = one
    if (oldest !== null) this.#senders.delete(oldest[0])
  }
}

interface Sender {
  readonly address: string
  readonly port: number
  /** It has not been told of since then that it may have lost a line; null when there is nothing to tell. Wall ms. */
  sinceMs: number | null
  /** A newcomer was taken for this one; this one is waited for all the same. */
  hasHeir: boolean
  /** Since then; in `#fresh`, not in the note. */
  hasSpoken: boolean
  /** When it was heard last. */
  turn: number
}

interface Note {
  readonly v: 1
  readonly source: string
  readonly epoch: string
  /** Where the next line of the epoch would have stood. */
  readonly first: number
  /** Everything that was sent before is in the spool, or told there. Wall ms. */
  readonly receivedMs: number
  readonly newSinceMs: number | null
  readonly senders: readonly (readonly [address: string, port: number, sinceMs: number | null, hasHeir: boolean])[]
  readonly untold: readonly Loss[]
}

/** Null for one that another version wrote. */
function readNote(text: string): Note | null {
  const note = JSON.parse(text) as Note
  return note.v === 1 ? note : null
}

/** What nobody was there to take. */
function missed(before: Note | null, { source, boundMs }: Run): Loss {
  const loss = { reason: 'not-running', end: null, lines: null } as const
  if (before === null) {
    return { ...loss, source, epoch: 'unknown', first: 0, from: null, until: new Date(boundMs).toISOString() }
  }
  const { epoch, first, receivedMs } = before
  return { ...loss, source: before.source, epoch, first, ...stretch(receivedMs, boundMs, SENT_LATE_MS) }
}

/** A clock that was set back meanwhile makes no stretch that ends before it begins. */
function stretch(oneMs: number, otherMs: number, earlierMs = 0): { readonly from: string; readonly until: string } {
  const from = new Date(Math.min(oneMs, otherMs) - earlierMs).toISOString()
  return { from, until: new Date(Math.max(oneMs, otherMs)).toISOString() }
}

function senderKey(address: string, port: number): string {
  return `${port} ${address}`
}

/** Of which it is known whether they may have lost a line; those heard last stay. */
const SENDERS_MAX = 256
/** After a start. A sender that nobody knows and that comes later is new, and not one that spoke to nobody before. */
const NEWCOMER_MS = 60_000
/** A line may be sent so long after the time in it: nginx takes its time once for each turn of its loop. */
const SENT_LATE_MS = 250
/** Of rows that no spool had room for; older ones are joined. */
const UNTOLD_MAX = 64
