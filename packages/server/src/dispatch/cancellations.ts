import { type Backoff, type Broker, backoffMs, type Clock, type Random } from '@forebay/broker'
import type { Logger } from 'pino'
import { type Cancellation, decodeCancellation } from '../control.ts'
import type { Task } from '../task.ts'
import { CONTROL_TOPIC } from '../topics.ts'

/**
 * The cancellations that this process has heard: one reader of their topic for all queues. A cancelled task has its
 * result already; whoever has the task settles it without another attempt.
 */
export interface Cancellations {
  /** Whether this life of the task was cancelled. The oldest are forgotten beyond `REMEMBERED_MAX`. */
  has(task: Task): boolean
  /** Hears of each as it comes, some at once; ends by the function that it returns. */
  subscribe(queue: string, hear: (cancelled: readonly Cancellation[]) => void): () => void
  close(): Promise<void>
}

export interface CancellationsDependencies {
  readonly broker: Broker
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export function startCancellations(dependencies: CancellationsDependencies): Cancellations {
  return new HeardCancellations(dependencies)
}

export const REMEMBERED_MAX = 10_000

class HeardCancellations implements Cancellations {
  readonly #dependencies: CancellationsDependencies
  readonly #generations = new Map<string, number>()
  readonly #hearers = new Map<string, Set<(cancelled: readonly Cancellation[]) => void>>()
  readonly #closed = new AbortController()
  readonly #ended: Promise<void>

  constructor(dependencies: CancellationsDependencies) {
    this.#dependencies = dependencies
    this.#ended = this.#listen()
  }

  has(task: Task): boolean {
    return this.#generations.size > 0 && this.#generations.get(task.id) === task.generation
  }

  subscribe(queue: string, hear: (cancelled: readonly Cancellation[]) => void): () => void {
    const hearers = this.#hearers.get(queue) ?? new Set()
    this.#hearers.set(queue, hearers)
    hearers.add(hear)
    return () => void hearers.delete(hear)
  }

  async close(): Promise<void> {
    this.#closed.abort()
    await this.#ended
  }

  /** From the earliest one kept, so that a process that starts knows what it has missed. */
  async #listen(): Promise<void> {
    const { broker, clock, random, log } = this.#dependencies
    const { signal } = this.#closed
    let from: 'earliest' | number = 'earliest'
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const listener = await broker.listen({ topic: CONTROL_TOPIC, partition: 0, from })
        const close = () => void listener.close()
        if (signal.aborted) close()
        else signal.addEventListener('abort', close, { once: true })
        try {
          for await (const records of listener) {
            this.#heard(records.map(decodeCancellation).filter((one) => one !== null))
            from = records.at(-1)!.offset + 1
            failures = 0
          }
        } finally {
          signal.removeEventListener('abort', close)
          await listener.close()
        }
      } catch (error) {
        if (signal.aborted) return
        log[failures === 0 ? 'warn' : 'debug']({ err: error }, 'cancellations cannot be read; trying on')
      }
      await clock.sleep(backoffMs(RETRY, failures, random), signal).catch(() => {})
    }
  }

  #heard(cancelled: readonly Cancellation[]): void {
    const byQueue = new Map<string, Cancellation[]>()
    for (const one of cancelled) {
      this.#remember(one)
      if (!this.#hearers.has(one.queue)) continue
      const ofQueue = byQueue.get(one.queue)
      if (ofQueue === undefined) byQueue.set(one.queue, [one])
      else ofQueue.push(one)
    }
    for (const [queue, ofQueue] of byQueue) for (const hear of this.#hearers.get(queue)!) hear(ofQueue)
  }

  #remember({ taskId, generation }: Cancellation): void {
    this.#generations.delete(taskId)
    this.#generations.set(taskId, generation)
    if (this.#generations.size <= REMEMBERED_MAX) return
    const [oldest] = this.#generations.keys()
    this.#generations.delete(oldest!)
  }
}

const RETRY: Backoff = { firstMs: 100, maxMs: 5_000 }
