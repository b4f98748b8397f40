import { ForebayError } from '@forebay/protocol'
import type { AssignedPartition, ListenRequest } from '../broker.ts'
import type { Timer } from '../clock.ts'
import { Appender } from './appender.ts'
import type { Window } from './assignment.ts'
import { Commits } from './commits.ts'
import { Group } from './group.ts'
import { EmbeddedListener } from './listener.ts'
import type { LogCalls, OpenedLog } from './log-calls.ts'
import type { ResolvedEmbedded } from './options.ts'
import { PartitionLog, Tails } from './partition-log.ts'
import { EmbeddedSubscription } from './subscription.ts'
import type { ThreadCaller } from './thread-call.ts'

/** Everything that exists between the opening and the closing of a log. */
export class RunningLog {
  readonly appender: Appender
  readonly groups = new Map<string, Group>()
  readonly #thread: ThreadCaller<LogCalls>
  readonly #options: ResolvedEmbedded
  readonly #topics: ReadonlyMap<string, readonly PartitionLog[]>
  readonly #byId: ReadonlyMap<number, PartitionLog>
  readonly #commits: Commits
  readonly #subscriptions = new Set<EmbeddedSubscription>()
  readonly #listeners = new Set<EmbeddedListener>()
  #retentionTimer: Timer | null = null
  #retaining = false
  #closed = false

  constructor(thread: ThreadCaller<LogCalls>, opened: OpenedLog, options: ResolvedEmbedded) {
    this.#thread = thread
    this.#options = options
    const tails = new Tails()
    const logs = opened.partitions.map((stored) => new PartitionLog(stored, tails))
    this.#byId = new Map(logs.map((log) => [log.id, log]))
    this.#topics = Map.groupBy(logs, (log) => log.topic)
    this.#commits = new Commits(this.groups, thread, options.clock, options.commitIntervalMs)
    this.appender = new Appender(this.#topics, thread, options, () => this.#retainNow())
    for (const position of opened.positions) this.#group(position.group).stored(position)
    this.#retainLater()
  }

  /** In the order of their numbers. Throws BAD_REQUEST when there is no such topic. */
  partitionsOf(topic: string): readonly PartitionLog[] {
    const logs = this.#topics.get(topic)
    if (logs !== undefined) return logs
    throw new ForebayError('BAD_REQUEST', `topic: ${topic} does not exist; name it when opening the broker.`)
  }

  async subscribe(
    name: string,
    topics: readonly string[],
    window: Window,
    onAssigned: (assigned: AssignedPartition) => void,
  ): Promise<EmbeddedSubscription> {
    const group = this.#group(name)
    const subscription = new EmbeddedSubscription(topics, window, onAssigned, async (leaving) => {
      this.#subscriptions.delete(leaving)
      group.leave(leaving)
      await this.#commits.now()
    })
    this.#subscriptions.add(subscription)
    group.join(subscription)
    await this.#commits.now()
    return subscription
  }

  listen(log: PartitionLog, from: ListenRequest['from']): EmbeddedListener {
    const listener = new EmbeddedListener(log, from, this.#thread, (closed) => this.#listeners.delete(closed))
    this.#listeners.add(listener)
    return listener
  }

  /** The thread died: whoever waits is told. */
  fail(cause: Error): void {
    const error = new ForebayError('BROKER_UNAVAILABLE', `The embedded log has stopped: ${cause.message}`, { cause })
    for (const one of [...this.#subscriptions, ...this.#listeners]) one.fail(error)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#retentionTimer?.cancel()
    await this.appender.close()
    const { clock, publishTimeoutMs } = this.#options
    const late = Promise.withResolvers<void>()
    const timer = clock.timer(publishTimeoutMs, late.resolve)
    await Promise.race([this.#closeThread(), late.promise])
    timer.cancel()
    await this.#thread.terminate()
  }

  /** A disk that hangs must not make `close` hang: then what is not committed comes again. */
  async #closeThread(): Promise<void> {
    await Promise.all([...this.#subscriptions, ...this.#listeners].map((one) => one.close()))
    await this.#commits.close()
    // A thread that died has let go of the file already.
    await this.#thread.call('close', undefined).catch(() => {})
  }

  #group(name: string): Group {
    const known = this.groups.get(name)
    if (known !== undefined) return known
    const group = new Group(name, this.#topics, this.#thread, this.#commits.soon)
    this.groups.set(name, group)
    return group
  }

  #retainLater(): void {
    if (this.#closed) return
    this.#retentionTimer = this.#options.clock.timer(this.#options.retentionIntervalMs, () => this.#retainNow())
  }

  /** Piece by piece, so that appends get in between. A disk that fails shows in `publish`, not here. */
  #retainNow(): void {
    if (this.#retaining || this.#closed) return
    this.#retaining = true
    this.#retentionTimer?.cancel()
    const { clock, retentionBytes } = this.#options
    const step = async (): Promise<void> => {
      const { starts, more } = await this.#thread.call('retain', { nowMs: clock.wallMs(), retentionBytes })
      for (const { partitionId, start } of starts) this.#byId.get(partitionId)!.start = start
      if (more && !this.#closed) await step()
    }
    void step()
      .catch(() => {})
      .finally(() => {
        this.#retaining = false
        this.#retainLater()
      })
  }
}
