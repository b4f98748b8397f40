import { join } from 'node:path'
import type { Broker, Clock, Random } from '@forebay/broker'
import { createRedaction } from './decode/redaction.ts'
import type { CollectorOptions } from './options.ts'
import { Shipper } from './ship.ts'
import { FileTail, type TailMeters } from './tail/file-tail.ts'
import { Positions } from './tail/positions.ts'

export interface CollectorParts {
  readonly options: CollectorOptions
  /** Open, with the topics of `edgeTopics`; stays the caller's. */
  readonly broker: Broker
  readonly clock: Clock
  readonly random: Random
  readonly meters: TailMeters
  /** What an operator should know. */
  readonly log: EdgeLog
}

/** The few methods of a logger that are called. */
export interface EdgeLog {
  info(details: object, text: string): void
  warn(details: object, text: string): void
}

export interface Collector extends AsyncDisposable {
  /** What keeps it from doing its work right now, one line each; empty when it is well. */
  problems(): readonly string[]
  /** Takes nothing new, ships what is under way within the grace time. What is left is on the disk. Safe to call twice. */
  stop(options?: { readonly graceMs?: number }): Promise<void>
}

/** Starts whatever the options name. Throws what stands in the way, with everything closed again. */
export async function startCollector(parts: CollectorParts): Promise<Collector> {
  const { options, broker, clock, random, log, meters } = parts
  const shipper = new Shipper({
    broker,
    clock,
    random,
    onTrouble: (cause) => log.warn({ err: cause }, 'the log does not take edge rows; trying again'),
    onBetter: () => log.info({}, 'the log takes edge rows again'),
  })
  const redaction = createRedaction(options.redact)
  const positions = await Positions.open(join(options.dir, 'positions.json'), clock, (cause) =>
    log.warn({ err: cause }, 'the positions of files cannot be saved; rows will come again after a crash'),
  )
  const tails = options.files.map(({ path, format, from }) => {
    const decoding = { topic: options.topic, format, redaction, clock }
    return new FileTail({
      options: { ...decoding, path, from, source: `${options.name}:${path}` },
      positions,
      shipper,
      clock,
      random,
      meters,
      onTrouble: (text, cause) => log.warn({ err: cause }, text),
    })
  })
  for (const tail of tails) tail.start()

  let stopping: Promise<void> | null = null
  const stopOnce = async (graceMs: number) => {
    const graceOver = new AbortController()
    const timer = clock.timer(graceMs, () => graceOver.abort(new Error('The grace time is over.')))
    await Promise.all(tails.map((tail) => tail.stop(graceOver.signal)))
    timer.cancel()
    await positions.close()
  }
  const stop = ({ graceMs = STOP_GRACE_MS }: { readonly graceMs?: number } = {}) => {
    stopping ??= stopOnce(graceMs)
    return stopping
  }
  return {
    problems: () => (shipper.healthy ? [] : ['the log does not take edge rows']),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

const STOP_GRACE_MS = 10_000
