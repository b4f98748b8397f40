import { OffsetLedger } from '@forebay/broker'
import type { Owner } from '../../history/history.ts'
import type { SimProcess } from '../process.ts'
import type { Planned } from '../schedule.ts'
import type { SimLog } from './log.ts'

/** Kafka's codes for what a coordinator has to say. */
export const GROUP_CODE = {
  ok: 0,
  metadataTooLarge: 12,
  illegalGeneration: 22,
  unknownMember: 25,
  rebalanceInProgress: 27,
  memberIdRequired: 79,
} as const

const METADATA_CHARACTERS_MAX = 4_096
/** A new group waits so long for more members. ms */
const FIRST_JOIN_DELAY_MS = 50

export interface JoinRequest {
  readonly process: SimProcess
  readonly group: string
  readonly sessionTimeoutMs: number
  readonly memberId: string
  readonly metadata: unknown
}

export interface Joined {
  readonly code: number
  readonly generation: number
  readonly memberId: string
  readonly leader: string
  /** Empty for all but the leader. */
  readonly members: readonly { readonly memberId: string; readonly metadata: unknown }[]
}

export interface PlacedPartition {
  readonly topic: string
  readonly partition: number
}

export interface Committed {
  readonly offset: number
  readonly metadata: string
}

/**
 * Groups by Kafka's classic protocol, with what was measured of it: a commit is judged by member and generation alone,
 * so a member may commit for a partition that is not its own; and going backwards, or past the end, is no concern of the
 * log's.
 */
export class Coordinator {
  readonly #log: SimLog
  readonly #groups = new Map<string, Group>()
  #epochs = 0
  #memberIds = 0

  constructor(log: SimLog) {
    this.#log = log
  }

  join(request: JoinRequest, answer: (joined: Joined) => void): void {
    const group = this.#group(request.group)
    if (request.memberId === '') {
      const memberId = `member-${++this.#memberIds}`
      group.invited.add(memberId)
      answer(refusedJoin(GROUP_CODE.memberIdRequired, memberId))
      return
    }
    const known = group.members.get(request.memberId)
    if (known === undefined && !group.invited.delete(request.memberId)) {
      answer(refusedJoin(GROUP_CODE.unknownMember, request.memberId))
      return
    }
    const member: Member = known ?? {
      id: request.memberId,
      process: request.process,
      metadata: null,
      sessionTimeoutMs: request.sessionTimeoutMs,
      expiry: null,
      joining: null,
      syncing: null,
      share: [],
    }
    group.members.set(member.id, member)
    member.metadata = request.metadata
    member.joining = answer
    member.expiry?.cancel()
    if (group.phase !== 'preparing') this.#prepare(group, group.members.size === 1 ? FIRST_JOIN_DELAY_MS : 0)
    this.#completeJoinIfAllCame(group)
  }

  sync(
    name: string,
    memberId: string,
    generation: number,
    shares: ReadonlyMap<string, readonly PlacedPartition[]> | null,
    answer: (code: number, share: readonly PlacedPartition[]) => void,
  ): void {
    const group = this.#group(name)
    const code = this.#judge(group, memberId, generation)
    if (code !== GROUP_CODE.ok) {
      answer(code, [])
      return
    }
    const member = group.members.get(memberId)!
    this.#heardFrom(group, member)
    if (group.phase !== 'completing') {
      if (group.phase === 'preparing') answer(GROUP_CODE.rebalanceInProgress, [])
      else answer(GROUP_CODE.ok, member.share)
      return
    }
    member.syncing = answer
    if (shares === null) return
    for (const one of group.members.values()) one.share = shares.get(one.id) ?? []
    group.phase = 'stable'
    this.#handOver(group)
    for (const one of group.members.values()) {
      one.syncing?.(GROUP_CODE.ok, one.share)
      one.syncing = null
    }
  }

  heartbeat(name: string, memberId: string, generation: number): number {
    const group = this.#group(name)
    const code = this.#judge(group, memberId, generation)
    if (code !== GROUP_CODE.ok) return code
    this.#heardFrom(group, group.members.get(memberId)!)
    return group.phase === 'preparing' ? GROUP_CODE.rebalanceInProgress : GROUP_CODE.ok
  }

  leave(name: string, memberId: string): void {
    const group = this.#group(name)
    const member = group.members.get(memberId)
    if (member !== undefined) this.#remove(group, member)
  }

  /** Throws a member out though it is well, without a word to it. */
  expel(process: SimProcess): boolean {
    let expelled = false
    for (const group of this.#groups.values()) {
      for (const member of [...group.members.values()]) {
        if (member.process !== process || member.joining !== null) continue
        this.#remove(group, member)
        expelled = true
      }
    }
    return expelled
  }

  commit(name: string, memberId: string, generation: number, at: PlacedPartition, committed: Committed): number {
    const group = this.#group(name)
    let code: number = this.#judge(group, memberId, generation)
    if (code === GROUP_CODE.ok && group.phase === 'completing') code = GROUP_CODE.rebalanceInProgress
    if (code === GROUP_CODE.ok && committed.metadata.length > METADATA_CHARACTERS_MAX)
      code = GROUP_CODE.metadataTooLarge
    if (code === GROUP_CODE.ok) group.committed.set(keyOf(at), committed)
    this.#log.journal.cover(code === GROUP_CODE.ok ? 'commit taken' : 'commit refused')
    const process = group.members.get(memberId)?.process.name ?? memberId
    this.#log.journal.write(process, {
      type: 'commit',
      group: name,
      owner: { topic: at.topic, partition: at.partition, epoch: this.epochOf(name, at, process) },
      offset: committed.offset,
      done: this.#doneAbove(at, committed),
      taken: code === GROUP_CODE.ok,
    })
    return code
  }

  committed(name: string, at: PlacedPartition): Committed | null {
    return this.#group(name).committed.get(keyOf(at)) ?? null
  }

  /** Under which the process had the partition last; 0 where it never had. */
  epochOf(name: string, at: PlacedPartition, process: string): number {
    const owners = this.#group(name).owners.get(keyOf(at)) ?? []
    return owners.findLast((one) => one.process === process)?.epoch ?? 0
  }

  #group(name: string): Group {
    let group = this.#groups.get(name)
    if (group === undefined) {
      group = {
        name,
        phase: 'stable',
        generation: 0,
        leader: '',
        members: new Map(),
        invited: new Set(),
        committed: new Map(),
        owners: new Map(),
        deadline: null,
        openAtMs: 0,
      }
      this.#groups.set(name, group)
    }
    return group
  }

  #judge(group: Group, memberId: string, generation: number): number {
    if (!group.members.has(memberId)) return GROUP_CODE.unknownMember
    return generation === group.generation ? GROUP_CODE.ok : GROUP_CODE.illegalGeneration
  }

  #prepare(group: Group, delayMs: number): void {
    const { schedule, journal } = this.#log
    journal.cover('group forms')
    group.phase = 'preparing'
    group.openAtMs = schedule.nowMs + delayMs
    for (const member of group.members.values()) {
      member.syncing?.(GROUP_CODE.rebalanceInProgress, [])
      member.syncing = null
    }
    const longest = Math.max(...[...group.members.values()].map((member) => member.sessionTimeoutMs))
    group.deadline?.cancel()
    group.deadline = schedule.in(longest, () => this.#completeJoin(group))
    if (delayMs > 0) schedule.in(delayMs, () => this.#completeJoinIfAllCame(group))
  }

  #completeJoinIfAllCame(group: Group): void {
    if (group.phase !== 'preparing' || this.#log.schedule.nowMs < group.openAtMs) return
    if ([...group.members.values()].every((member) => member.joining !== null)) this.#completeJoin(group)
  }

  /** Whoever has not come by now is out. */
  #completeJoin(group: Group): void {
    group.deadline?.cancel()
    for (const member of [...group.members.values()]) {
      if (member.joining === null) this.#forget(group, member)
    }
    group.phase = 'completing'
    group.generation++
    const members = [...group.members.values()]
    if (members.length === 0) {
      group.phase = 'stable'
      return
    }
    group.leader = group.members.has(group.leader) ? group.leader : members[0]!.id
    for (const member of members) {
      const answer = member.joining!
      member.joining = null
      this.#heardFrom(group, member)
      answer({
        code: GROUP_CODE.ok,
        generation: group.generation,
        memberId: member.id,
        leader: group.leader,
        members: member.id === group.leader ? members.map(({ id, metadata }) => ({ memberId: id, metadata })) : [],
      })
    }
  }

  #heardFrom(group: Group, member: Member): void {
    member.expiry?.cancel()
    member.expiry = this.#log.schedule.in(member.sessionTimeoutMs, () => {
      if (member.joining !== null) return
      this.#log.journal.cover('session expired')
      this.#remove(group, member)
    })
  }

  #remove(group: Group, member: Member): void {
    this.#forget(group, member)
    this.#revoke(group, (owner) => owner.member === member.id)
    if (group.members.size === 0) {
      group.deadline?.cancel()
      group.phase = 'stable'
      group.generation++
    } else if (group.phase === 'preparing') this.#completeJoinIfAllCame(group)
    else this.#prepare(group, 0)
  }

  #forget(group: Group, member: Member): void {
    member.expiry?.cancel()
    group.members.delete(member.id)
  }

  #handOver(group: Group): void {
    const now = new Map<string, string>()
    for (const member of group.members.values()) for (const place of member.share) now.set(keyOf(place), member.id)
    this.#revoke(group, (owner, key) => now.get(key) !== owner.member)
    for (const member of group.members.values()) {
      for (const place of member.share) {
        const key = keyOf(place)
        const owners = group.owners.get(key) ?? []
        const last = owners.at(-1)
        if (last?.held && last.member === member.id) continue
        const owner = { ...place, epoch: ++this.#epochs }
        owners.push({ member: member.id, process: member.process.name, epoch: owner.epoch, held: true })
        group.owners.set(key, owners)
        this.#log.journal.cover('partition assigned')
        this.#log.journal.write(member.process.name, {
          type: 'owner.assigned',
          group: group.name,
          owner: ownerOf(owner),
        })
      }
    }
  }

  #revoke(group: Group, isOver: (owner: Ownership, key: string) => boolean): void {
    for (const [key, owners] of group.owners) {
      const last = owners.at(-1)!
      if (!last.held || !isOver(last, key)) continue
      last.held = false
      const [partition, topic] = key.split(' ')
      const owner = { topic: topic!, partition: Number(partition), epoch: last.epoch }
      this.#log.journal.write(last.process, { type: 'owner.revoked', group: group.name, owner })
    }
  }

  #doneAbove(at: PlacedPartition, { offset, metadata }: Committed): number[] {
    if (metadata === '') return []
    const ledger = OffsetLedger.decode(offset, metadata)
    const done: number[] = []
    const end = this.#log.partitions(at.topic)?.[at.partition]?.end ?? 0
    for (let above = offset; above < end; above++) if (ledger.isDone(above)) done.push(above)
    return done
  }
}

interface Group {
  readonly name: string
  phase: 'preparing' | 'completing' | 'stable'
  generation: number
  leader: string
  readonly members: Map<string, Member>
  /** Ids that were given out and have not been used. */
  readonly invited: Set<string>
  readonly committed: Map<string, Committed>
  /** Of each partition, oldest first. */
  readonly owners: Map<string, Ownership[]>
  deadline: Planned | null
  openAtMs: number
}

interface Member {
  readonly id: string
  readonly process: SimProcess
  metadata: unknown
  readonly sessionTimeoutMs: number
  expiry: Planned | null
  joining: ((joined: Joined) => void) | null
  syncing: ((code: number, share: readonly PlacedPartition[]) => void) | null
  share: readonly PlacedPartition[]
}

interface Ownership {
  readonly member: string
  readonly process: string
  readonly epoch: number
  held: boolean
}

function keyOf({ topic, partition }: PlacedPartition): string {
  return `${partition} ${topic}`
}

function ownerOf({ topic, partition, epoch }: Owner): Owner {
  return { topic, partition, epoch }
}

function refusedJoin(code: number, memberId: string): Joined {
  return { code, generation: -1, memberId, leader: '', members: [] }
}
