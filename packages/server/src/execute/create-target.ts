import type { Clock, Random } from '@forebay/broker'
import type { QueueOptions } from '../options.ts'
import { GrpcTarget } from './grpc-target.ts'
import { HttpTarget } from './http-target.ts'
import { RESULT_BYTES_MAX_DEFAULT } from './limits.ts'
import type { Target } from './target.ts'
import type { WorkerSessions } from './worker-sessions.ts'

export interface TargetDependencies {
  /** Where workers dial in. */
  readonly workers: Pick<WorkerSessions, 'target'>
  readonly clock: Clock
  readonly random: Random
  /** Default `RESULT_BYTES_MAX_DEFAULT`. Workers are told theirs by `WorkerSessions`. */
  readonly resultBytesMax?: number
}

/**
 * The target that a queue's options name. Dials nobody yet: what is dialled may start later.
 * @throws ForebayError CONFIG_INVALID: its descriptor file is missing or lacks the method.
 */
export function createTarget(queue: Pick<QueueOptions, 'name' | 'target'>, dependencies: TargetDependencies): Target {
  const { workers, clock, random, resultBytesMax = RESULT_BYTES_MAX_DEFAULT } = dependencies
  const { target } = queue
  switch (target.kind) {
    case 'workers':
      return workers.target(queue.name)
    case 'grpc':
      return new GrpcTarget({ target, resultBytesMax, clock, random })
    case 'http':
      return new HttpTarget({ url: target.url, resultBytesMax, clock })
  }
}
