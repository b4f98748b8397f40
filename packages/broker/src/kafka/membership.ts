import type { Timer } from '../clock.ts'
import type { Epoch } from './assignment.ts'
import { assign } from './assignor.ts'
import { Backoff } from './backoff.ts'
import type { Cluster, Purpose } from './cluster.ts'
import { findCoordinator } from './commit.ts'
import { CODE, codeOf, messageOf, responseIn } from './kafka-error.ts'
import type { Link } from './link.ts'
import type { TopicPartition } from './offsets.ts'

/** Whoever holds the partitions that the membership brings. */
export interface Holder {
  held(): readonly TopicPartition[]
  /** The group forms anew: commit what is settled while the old epoch still counts. */
  beforeRejoin(): Promise<void>
  /** Let go of what is missing (committing it), keep the rest, begin the new. True when something was let go. */
  assigned(epoch: Epoch, partitions: readonly TopicPartition[]): Promise<boolean>
  /** Others have, or will get, everything we held. Nothing may be committed. */
  lostAll(why: string): void
}

const HEARTBEAT_MS = 500
const ANSWER_TIMEOUT_MS = 3_000
const LEAVE_WITHIN_MS = 2_000
const PROTOCOL_TYPE = 'consumer'
/** Only members that share out as `assign` does may meet in a group. */
const PROTOCOL = 'forebay-cooperative'
const SUBSCRIPTION_VERSION = 2

let memberships = 0

/**
 * Membership in a group by Kafka's classic protocol, cooperatively: what a member keeps it keeps without a pause.
 * Joins, beats, rejoins and comes back after any trouble until `leave`.
 */
export class Membership {
  readonly #cluster: Cluster
  readonly #group: string
  readonly #topics: readonly string[]
  readonly #holder: Holder
  readonly #purposes: { readonly group: Purpose; readonly join: Purpose }
  readonly #backoff: Backoff
  readonly #leaving = new AbortController()
  readonly #running: Promise<void>
  #nudge = new AbortController()
  #coordinator: number | null = null
  #memberId = ''
  #epoch: Epoch | null = null
  #joining = false
  #contactMs = 0
  #watchdog: Timer | null = null
  #sharedOut: readonly number[] = []

  constructor(cluster: Cluster, group: string, topics: readonly string[], holder: Holder) {
    this.#cluster = cluster
    this.#group = group
    this.#topics = topics
    this.#holder = holder
    const nth = ++memberships
    this.#purposes = { group: `group-${nth}`, join: `join-${nth}` }
    this.#backoff = new Backoff(cluster.settings.random)
    this.#running = this.#run()
  }

  /** Under which to commit now; null while the group forms. */
  get epoch(): Epoch | null {
    return this.#joining ? null : this.#epoch
  }

  /** To ask the coordinator something that is answered at once. */
  async link(): Promise<Link> {
    this.#coordinator ??= await findCoordinator(this.#cluster, this.#group)
    return this.#cluster.link(this.#coordinator, this.#purposes.group, ANSWER_TIMEOUT_MS)
  }

  /** Kafka answered a commit of `epoch` with `code`. */
  refused(epoch: Epoch, code: number): void {
    if (epoch !== this.#epoch || this.#joining) return
    if (EXPELLED.has(code)) this.#expelled(`its commit was refused (Kafka's code ${code})`)
    else if (MOVED.has(code)) this.#coordinator = null
    if (EXPELLED.has(code) || code === CODE.REBALANCE_IN_PROGRESS) this.#nudge.abort()
  }

  /** Ends the membership after `last`, which may still commit; the others get our partitions at once. */
  async leave(last: (epoch: Epoch | null) => Promise<void>): Promise<void> {
    this.#leaving.abort()
    this.#cluster.closeLinks(this.#purposes.join)
    await this.#running
    this.#watchdog?.cancel()
    const { clock } = this.#cluster.settings
    const late = new AbortController()
    await Promise.race([
      this.#sayGoodbye(last).catch(() => {}),
      clock.sleep(LEAVE_WITHIN_MS, late.signal).catch(() => {}),
    ])
    late.abort()
    this.#cluster.closeLinks(this.#purposes.group)
  }

  async #sayGoodbye(last: (epoch: Epoch | null) => Promise<void>): Promise<void> {
    await last(this.#epoch)
    if (this.#memberId === '' || this.#coordinator === null) return
    const link = await this.link()
    const member = { memberId: this.#memberId, groupInstanceId: null, reason: null }
    await link.call(this.#cluster.library.leaveGroupV4.api, this.#group, [member])
  }

  async #run(): Promise<void> {
    while (!this.#leaving.signal.aborted) {
      try {
        const again = await this.#join()
        this.#backoff.reset()
        if (!again) await this.#stay()
      } catch (error) {
        if (this.#leaving.signal.aborted) return
        await this.#recover(error)
      }
    }
  }

  /** Beats until the group has to form anew. */
  async #stay(): Promise<void> {
    const { clock } = this.#cluster.settings
    for (;;) {
      const signal = AbortSignal.any([this.#leaving.signal, this.#nudge.signal])
      await clock.sleep(HEARTBEAT_MS, signal).catch(() => {})
      if (this.#leaving.signal.aborted) return
      if (this.#nudge.signal.aborted || this.#partitionsChanged()) break
      try {
        await this.#beat()
      } catch (error) {
        const code = codeOf(error)
        if (code === CODE.REBALANCE_IN_PROGRESS) break
        if (code !== null && !MOVED.has(code)) throw error
        this.#coordinator = null
        this.#cluster.refreshSoon()
      }
    }
    if (this.#epoch !== null) await this.#holder.beforeRejoin()
  }

  async #beat(): Promise<void> {
    const epoch = this.#epoch
    if (epoch === null) return
    const sentMs = this.#cluster.settings.clock.monotonicMs()
    const link = await this.link()
    const { api } = this.#cluster.library.heartbeatV4
    try {
      await link.call(api, this.#group, epoch.generation, epoch.memberId, null)
    } catch (error) {
      if (codeOf(error) === CODE.REBALANCE_IN_PROGRESS) this.#inContact(sentMs)
      throw error
    }
    this.#inContact(sentMs)
  }

  /** Returns whether to join once more at once, because a partition was let go. */
  async #join(): Promise<boolean> {
    this.#joining = true
    this.#nudge = new AbortController()
    const joined = new AbortController()
    try {
      void this.#beatUntil(joined.signal)
      const { epoch, partitions } = await this.#joinAndSync()
      this.#epoch = epoch
      this.#joining = false
      return await this.#holder.assigned(epoch, partitions)
    } finally {
      this.#joining = false
      joined.abort()
    }
  }

  async #joinAndSync(): Promise<{ epoch: Epoch; partitions: TopicPartition[] }> {
    const { library, settings } = this.#cluster
    await this.link()
    const { sessionTimeoutMs } = settings
    const link = this.#cluster.link(this.#coordinator!, this.#purposes.join, sessionTimeoutMs + ANSWER_TIMEOUT_MS)
    const metadata = library.encodeConsumerProtocolSubscription({
      version: SUBSCRIPTION_VERSION,
      topics: [...this.#topics],
      ownedPartitions: grouped(this.#holder.held()),
      generationId: this.#epoch?.generation ?? -1,
    })
    const protocols = [{ name: PROTOCOL, metadata }]
    const joinAs = (memberId: string) =>
      link.call(
        library.joinGroupV7.api,
        this.#group,
        sessionTimeoutMs,
        sessionTimeoutMs,
        memberId,
        null,
        PROTOCOL_TYPE,
        protocols,
      )
    const joined = await joinAs(this.#memberId).catch((error: unknown) => {
      const given = memberIdIn(error)
      if (given === null) throw error
      this.#memberId = given
      return joinAs(given)
    })
    this.#memberId = joined.memberId
    const sentMs = settings.clock.monotonicMs()
    const synced = await link.call(
      library.syncGroupV5.api,
      this.#group,
      joined.generationId,
      joined.memberId,
      null,
      PROTOCOL_TYPE,
      PROTOCOL,
      joined.leader === joined.memberId ? await this.#shareOut(joined.members) : [],
    )
    this.#inContact(sentMs)
    const assignment = library.decodeConsumerProtocolAssignment(synced.assignment)
    return {
      epoch: { memberId: joined.memberId, generation: joined.generationId },
      partitions: assignment.assignedPartitions.flatMap(({ topic, partitions }) =>
        partitions.map((partition) => ({ topic, partition })),
      ),
    }
  }

  /** The leader's part. */
  async #shareOut(
    members: readonly { readonly memberId: string; readonly metadata: Buffer }[],
  ): Promise<{ memberId: string; assignment: Buffer }[]> {
    const { library } = this.#cluster
    const subscribed = members.map(({ memberId, metadata }) => {
      const { topics, ownedPartitions } = library.decodeConsumerProtocolSubscription(metadata)
      return {
        memberId,
        topics,
        owned: ownedPartitions.flatMap(({ topic, partitions }) =>
          partitions.map((partition) => ({ topic, partition })),
        ),
      }
    })
    this.#cluster.watch(subscribed.flatMap(({ topics }) => topics))
    await this.#cluster.refresh()
    this.#sharedOut = this.#partitionCounts()
    const shares = assign(subscribed, (topic) => this.#cluster.partitionsOf(topic) ?? 0)
    return [...shares].map(([memberId, partitions]) => ({
      memberId,
      assignment: library.encodeConsumerProtocolAssignment({ version: 0, assignedPartitions: grouped(partitions) }),
    }))
  }

  /** While we wait for the others the coordinator may go silent too. */
  async #beatUntil(joined: AbortSignal): Promise<void> {
    const { clock } = this.#cluster.settings
    while (!joined.aborted && !this.#leaving.signal.aborted) {
      await clock.sleep(HEARTBEAT_MS, joined).catch(() => {})
      if (!joined.aborted && !this.#leaving.signal.aborted) await this.#beat().catch(() => {})
    }
  }

  async #recover(error: unknown): Promise<void> {
    const { clock, onWarning } = this.#cluster.settings
    const code = codeOf(error)
    if (code === CODE.REBALANCE_IN_PROGRESS) return
    const moved = code !== null && MOVED.has(code)
    if (code !== null && EXPELLED.has(code)) {
      this.#expelled(messageOf(error))
      return
    }
    if (!moved)
      onWarning('The consumer group cannot be reached; it is tried again.', {
        group: this.#group,
        cause: messageOf(error),
      })
    this.#coordinator = null
    await clock.sleep(this.#backoff.nextMs(), this.#leaving.signal).catch(() => {})
    await this.#cluster.refresh().catch(() => {})
  }

  #expelled(why: string): void {
    this.#memberId = ''
    this.#epoch = null
    this.#holder.lostAll(why)
  }

  /** Without an answer for a session's time the group takes us for dead, and so must we. */
  #inContact(sentMs: number): void {
    const { clock, sessionTimeoutMs } = this.#cluster.settings
    this.#contactMs = Math.max(this.#contactMs, sentMs)
    if (this.#watchdog !== null || this.#leaving.signal.aborted) return
    const look = () => {
      const leftMs = this.#contactMs + sessionTimeoutMs - clock.monotonicMs()
      if (leftMs > 0) {
        this.#watchdog = clock.timer(leftMs, look)
        return
      }
      this.#watchdog = null
      this.#epoch = null
      this.#holder.lostAll(`the group's coordinator was silent for ${sessionTimeoutMs} ms`)
      this.#nudge.abort()
    }
    this.#watchdog = clock.timer(sessionTimeoutMs, look)
  }

  /** Only the leader looks; the others follow when it rejoins. */
  #partitionsChanged(): boolean {
    if (this.#sharedOut.length === 0) return false
    return this.#partitionCounts().some((count, index) => count !== this.#sharedOut[index])
  }

  #partitionCounts(): number[] {
    return this.#topics.map((topic) => this.#cluster.partitionsOf(topic) ?? 0)
  }
}

const EXPELLED: ReadonlySet<number> = new Set([
  CODE.UNKNOWN_MEMBER_ID,
  CODE.ILLEGAL_GENERATION,
  CODE.FENCED_INSTANCE_ID,
])

/** The coordinator is elsewhere, or not ready. */
const MOVED: ReadonlySet<number> = new Set([14, 15, 16])

function memberIdIn(error: unknown): string | null {
  if (codeOf(error) !== CODE.MEMBER_ID_REQUIRED) return null
  const response = responseIn<{ memberId: string }>(error)
  return response?.memberId ?? null
}

function grouped(places: readonly TopicPartition[]): { topic: string; partitions: number[] }[] {
  return [...Map.groupBy(places, ({ topic }) => topic)].map(([topic, own]) => ({
    topic,
    partitions: own.map(({ partition }) => partition),
  }))
}
