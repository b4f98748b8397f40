import { writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { Writable } from 'node:stream'
import { systemClock, systemRandom } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { LineBuffer } from './line-buffer.ts'
import { createPoster } from './post-batch.ts'
import { LineSender } from './sender.ts'

/** `pino.transport({ target: '@forebay/edge/pino', options })` */
export interface PinoTransportOptions {
  /** Where a collector takes lines: `http://127.0.0.1:9464`, or `unix:/run/forebay/edge.sock`. */
  readonly collector: string
  /** Name of the service, for lines that name none. Letters, digits and . _ - */
  readonly service: string
  /** Tells apart where the service runs. Default: the host's name. */
  readonly instance?: string
  /** One of `auth.keys`. Default: none. */
  readonly key?: string
  /** Most that waits in memory; what finds no room is dropped and told in a row. Default 8 MiB. Bytes */
  readonly bufferBytesMax?: number
  /** How long a line waits for others to go with. Default 200. ms */
  readonly batchMs?: number
  /** How long the end of the process waits for what is left. Default 5 000, at most 9 000: pino waits 10 s. ms */
  readonly exitMs?: number
}

/**
 * A transport of pino: takes its lines in a worker thread and brings them to a collector. Never blocks the service: with no
 * collector there, `bufferBytesMax` wait, and further lines are dropped until there is room.
 */
export default function pinoTransport(given: PinoTransportOptions): Writable {
  const { source, key, poster, bufferBytesMax, batchMs, exitMs } = resolve(given)
  const buffer = new LineBuffer(bufferBytesMax, BATCH_BYTES_MAX)
  const sender = new LineSender({
    ...{ buffer, poster, source, key, batchMs, onTrouble },
    ...{ clock: systemClock, random: systemRandom },
  })
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      buffer.write(chunk)
      sender.notice()
      done()
    },
    final(done) {
      buffer.end()
      sender.end(exitMs).then(() => done(), done)
    },
  })
}

/** Not through the worker's own stderr: that is the main thread's to write, and it may have ended. */
function onTrouble(text: string): void {
  try {
    writeSync(2, `forebay logs: ${text}\n`)
  } catch {
    // Nobody reads it.
  }
}

const LINES_PATH = '/v1/edge/service-logs'
/** Few requests where many lines come; less than a collector takes at once. */
const BATCH_BYTES_MAX = 256 * 1024
const BUFFER_BYTES_DEFAULT = 8 * 1024 * 1024
const BATCH_MS_DEFAULT = 200
const EXIT_MS_DEFAULT = 5_000
const EXIT_MS_MAX = 9_000

function resolve(given: PinoTransportOptions) {
  const { collector, service, instance = hostname().replace(/[^\w.-]/g, '-'), key = null } = given
  const poster = typeof collector === 'string' ? createPoster(collector, LINES_PATH) : null
  if (poster === null) {
    throw bad('collector', collector, 'Write http://127.0.0.1:9464, or unix:/run/forebay/edge.sock.')
  }
  for (const [name, value] of Object.entries({ service, instance })) {
    if (typeof value !== 'string' || !NAME.test(value))
      throw bad(name, value, 'Write up to 100 letters, digits and . _ -')
  }
  return {
    source: `${service}/${instance}`,
    key,
    poster,
    bufferBytesMax: count('bufferBytesMax', given.bufferBytesMax ?? BUFFER_BYTES_DEFAULT, 1_024, 1_024 ** 3),
    batchMs: count('batchMs', given.batchMs ?? BATCH_MS_DEFAULT, 0, 60_000),
    exitMs: count('exitMs', given.exitMs ?? EXIT_MS_DEFAULT, 0, EXIT_MS_MAX),
  }
}

const NAME = /^[\w.-]{1,100}$/

function count(name: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw bad(name, value, `Write a whole number from ${min} to ${max}.`)
}

function bad(name: string, value: unknown, fix: string): ForebayError {
  return new ForebayError('CONFIG_INVALID', `${name}: ${JSON.stringify(value ?? null)} cannot be used. ${fix}`)
}
