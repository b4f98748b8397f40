// A third door: the dispatch machinery for whoever consumes a topic in its own process, as @forebay/events does.
import { pino } from 'pino'

export type { Logger } from 'pino'
export type { DeadLetter } from './dead/dead-record.ts'
export { type QueueDispatcher, startQueueDispatcher } from './dispatch/queue-dispatcher.ts'
export type { ReadTask } from './dispatch/read-task.ts'
export type { Target } from './execute/target.ts'
export { createLetterFinisher } from './finish/letter-finisher.ts'
export { type Running, STOP_GRACE_MS_DEFAULT, type StopOptions, type StopReport } from './lifecycle.ts'
export type { QueueOptions } from './options.ts'
export { LOG_OWNER } from './records.ts'
export type { Store } from './store/store.ts'
export { usableParking } from './store/usable-parking.ts'
export { type Attempt, type Outcome, PLAIN_TASK } from './task.ts'
export type { QueueMeters } from './telemetry.ts'

/** For a program that wants no log. */
export const SILENT_LOG = pino({ level: 'silent' })
