import type { LogRecord, RecordToPublish } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { type EncodedEvent, fromRecord, toRecord } from '@forebay/protocol/cloudevents'
import {
  type Choice,
  chosenLetters,
  groupAt,
  type Letter,
  originalRecord,
  Pace,
  REDRIVE_RATE_DEFAULT,
  REDRIVES_MAX,
  type ScanParts,
  verdictRecord,
  writeInSteps,
} from '@forebay/server/dead'
import type { EventDefinition } from '../define-event.ts'
import { eventReader } from '../read-event.ts'
import { againRecord } from './again-topic.ts'
import { checkRate } from './rate.ts'

export interface RunOptions {
  /** Whoever does it, for the verdicts. */
  readonly by: string
  /** Up to 500 characters are kept. Default: none. */
  readonly reason?: string
  /** Only say what would be done. */
  readonly dryRun?: boolean
  /** Stops it; it rejects with the signal's reason. What was done is done. */
  readonly signal?: AbortSignal
  /** How many so far; after each group of letters. */
  readonly onProgress?: (count: number) => void
}

export interface RedriveOptions extends RunOptions {
  /** Letters a second, 0.1 to 10,000. Default 50. */
  readonly ratePerSecond?: number
  /** Also those that were redriven three times already. */
  readonly force?: boolean
  /** Other data for each of them, encoded as the event's content type says. It keeps its id, key and attributes. */
  readonly edit?: (event: EncodedEvent) => Uint8Array
}

export interface RedriveReport {
  /** Redriven, or, in a dry run, to be redriven. */
  readonly redriven: number
  /** By the code that they died with. */
  readonly codes: Readonly<Record<string, number>>
  /** Still open: cut (its bytes are not all there), generations (redriven three times), no-event (nothing to edit). */
  readonly refused: Readonly<Partial<Record<RedriveRefusal, number>>>
}

export type RedriveRefusal = 'cut' | 'generations' | 'no-event'

export interface RedriveLettersParts extends ScanParts {
  readonly group: string
  readonly events: readonly EventDefinition[]
}

export async function redriveLetters(
  parts: RedriveLettersParts,
  choice: Choice,
  options: RedriveOptions,
): Promise<RedriveReport> {
  const { broker, clock, group } = parts
  const { by, reason = '', dryRun = false, signal = NEVER, onProgress = () => {}, edit, force = false } = options
  const { ratePerSecond = REDRIVE_RATE_DEFAULT } = options
  checkRate('redrive', ratePerSecond)
  const groupMax = groupAt(ratePerSecond)
  const pace = new Pace(clock, ratePerSecond)
  const codes: Record<string, number> = {}
  const refused: Partial<Record<RedriveRefusal, number>> = {}
  let redriven = 0
  let waiting: Letter[] = []

  await surveyLetters(parts, choice, signal, async (letter) => {
    const refusal = refusalOf(letter, edit !== undefined, force)
    if (refusal !== null) {
      refused[refusal] = (refused[refusal] ?? 0) + 1
      return
    }
    codes[letter.code] = (codes[letter.code] ?? 0) + 1
    waiting.push(letter)
    if (waiting.length >= groupMax) await flush()
  })
  await flush()
  return { redriven, codes, refused }

  async function flush(): Promise<void> {
    const letters = waiting
    waiting = []
    if (letters.length === 0) return
    if (dryRun) {
      redriven += letters.length
      return
    }
    const copies = await Promise.all(letters.map(copyOf))
    await pace.take(letters.length, signal)
    const verdict = { kind: 'redriven', by, atMs: clock.wallMs(), reason, edited: edit !== undefined } as const
    const { written, fault } = await writeInSteps(broker, letters.length, [
      (index) => copies[index]!,
      (index) => verdictRecord({ ...verdict, letter: letters[index]! }),
    ])
    redriven += written
    onProgress(redriven)
    if (fault !== null) throw fault.thrown
  }

  async function copyOf(letter: Letter): Promise<RecordToPublish> {
    const found = originalRecord(letter)
    const record = edit === undefined ? found : await edited(found, edit)
    return againRecord(record, group, letter.generation + 1)
  }

  async function edited(record: LogRecord, change: NonNullable<typeof edit>): Promise<LogRecord> {
    const event = fromRecord(record) as EncodedEvent
    const { value, headers } = toRecord({ ...event, bytes: change(event) }, record.topic)
    const others = record.headers.filter(([name]) => !WRITTEN_ANEW.test(name))
    const made = { ...record, value, headers: [...headers, ...others] }
    if (parts.events.length === 0) return made
    const reader = eventReader(parts.events)
    let read = reader(made)
    for (; read.kind === 'waiting'; read = reader(made)) await read.until
    if (read.kind === 'event') return made
    throw new ForebayError('EVENT_INVALID', `What was edited in ${event.id} is no such event: ${read.why}`)
  }
}

/** One letter after the other. */
export async function surveyLetters(
  parts: ScanParts,
  choice: Choice,
  signal: AbortSignal,
  visit: (letter: Letter) => Promise<void> | void,
): Promise<void> {
  for await (const { letter } of chosenLetters(parts, choice, signal)) await visit(letter)
}

function refusalOf(letter: Letter, isEdited: boolean, force: boolean): RedriveRefusal | null {
  const missing = isEdited ? letter.cuts.filter((cut) => !cut.startsWith('value ')) : letter.cuts
  if (missing.length > 0) return 'cut'
  if (isEdited && typeof fromRecord(originalRecord(letter)) === 'string') return 'no-event'
  return letter.generation >= REDRIVES_MAX && !force ? 'generations' : null
}

/** Headers that make up the event; also those of a structured one. */
const WRITTEN_ANEW = /^(ce_.*|content-type|traceparent|tracestate)$/i
const NEVER = new AbortController().signal
