import { ForebayError } from '@forebay/protocol/errors'
import type { AssignedPartition, ConsumeRequest, FromTime, ListenRequest, TopicSpec } from '../broker.ts'
import type { Timer } from '../clock.ts'
import { timeMsOf } from '../from-time.ts'
import { Appender } from './appender.ts'
import type { Window } from './assignment.ts'
import { Commits } from './commits.ts'
import { Group } from './group.ts'
import { EmbeddedListener } from './listener.ts'
import type { LogCalls, OpenedLog, StoredPartition } from './log-calls.ts'
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
  readonly #tails = new Tails()
  readonly #topics = new Map<string, PartitionLog[]>()
  readonly #byId = new Map<number, PartitionLog>()
  readonly #commits: Commits
  readonly #subscriptions = new Set<EmbeddedSubscription>()
  readonly #listeners = new Set<EmbeddedListener>()
  #retentionTimer: Timer | null = null
  #retaining = false
  #closed = false

  constructor(thread: ThreadCaller<LogCalls>, opened: OpenedLog, options: ResolvedEmbedded) {
    this.#thread = thread
    this.#options = options
    this.#add(opened.partitions)
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

  has(topic: string): boolean {
    return this.#topics.has(topic)
  }

  /** Makes the topics that are missing. */
  async addTopics(topics: readonly TopicSpec[]): Promise<void> {
    const missing = topics.filter(({ name }) => !this.#topics.has(name))
    if (missing.length > 0) this.#add(await this.#thread.call('addTopics', missing))
  }

  async subscribe(
    { group: name, topics, from = 'earliest' }: ConsumeRequest,
    window: Window,
    onAssigned: (assigned: AssignedPartition) => void,
  ): Promise<EmbeddedSubscription> {
    const group = this.#group(name)
    const beginnings = from === 'earliest' ? NOWHERE : await this.#beginnings(group, topics, from)
    const subscription = new EmbeddedSubscription(topics, window, beginnings, onAssigned, async (leaving) => {
      this.#subscriptions.delete(leaving)
      group.leave(leaving)
      await this.#commits.now()
    })
    this.#subscriptions.add(subscription)
    group.join(subscription)
    await this.#commits.now()
    return subscription
  }

  async listen(log: PartitionLog, from: ListenRequest['from']): Promise<EmbeddedListener> {
    const at = await this.#placeOf(log, from)
    const listener = new EmbeddedListener(log, at, this.#thread, (closed) => this.#listeners.delete(closed))
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

  #add(partitions: readonly StoredPartition[]): void {
    for (const stored of partitions) {
      const log = new PartitionLog(stored, this.#tails)
      this.#byId.set(log.id, log)
      const known = this.#topics.get(log.topic)
      if (known === undefined) this.#topics.set(log.topic, [log])
      else known.push(log)
    }
  }

  async #beginnings(
    group: Group,
    topics: readonly string[],
    from: 'latest' | FromTime,
  ): Promise<ReadonlyMap<PartitionLog, number>> {
    const fresh = topics.flatMap((topic) => this.partitionsOf(topic)).filter((log) => !group.knows(log))
    const places = await Promise.all(fresh.map((log) => this.#placeOf(log, from)))
    return new Map(fresh.map((log, index) => [log, places[index]!]))
  }

  async #placeOf(log: PartitionLog, from: ListenRequest['from']): Promise<number> {
    if (from === 'earliest') return log.start
    if (from === 'latest') return log.end
    if (typeof from === 'number') return Math.max(from, log.start)
    const timeMs = timeMsOf(from)
    for (let at = log.start; ; ) {
      const { kind, offset } = await this.#thread.call('seekTime', { partitionId: log.id, from: at, timeMs })
      if (kind !== 'more') return Math.max(offset, log.start)
      at = offset
    }
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

const NOWHERE: ReadonlyMap<PartitionLog, number> = new Map()
