import type { TopicPartition } from './offsets.ts'

export interface GroupMember {
  readonly memberId: string
  readonly topics: readonly string[]
  readonly owned: readonly TopicPartition[]
}

/**
 * Shares partitions out: evenly for each topic and in all, moving as few as it can. A partition that moves is given to
 * nobody in this round; its owner lets go of it and the group forms once more. So members keep what they keep without
 * a pause, and no partition ever has two owners.
 */
export function assign(
  members: readonly GroupMember[],
  partitionsOf: (topic: string) => number,
): Map<string, TopicPartition[]> {
  const sorted = [...members].sort((one, other) => (one.memberId < other.memberId ? -1 : 1))
  const owners = ownersOf(sorted)
  const shares = new Map(sorted.map(({ memberId }) => [memberId, new Share()]))
  const topics = [...new Set(sorted.flatMap((member) => member.topics))].sort()
  for (const topic of topics) {
    const takers = sorted.filter((member) => member.topics.includes(topic)).map(({ memberId }) => memberId)
    for (let partition = 0; partition < partitionsOf(topic); partition++) {
      const owner = owners.get(keyOf(topic, partition))
      const taker = owner !== undefined && takers.includes(owner) ? owner : lightest(shares, takers, topic)
      shares.get(taker)!.add(topic, partition)
    }
    level(shares, takers, topic)
  }
  for (const topic of topics) {
    const takers = sorted.filter((member) => member.topics.includes(topic)).map(({ memberId }) => memberId)
    levelTotals(shares, takers, topic)
  }
  return new Map(
    [...shares].map(([memberId, share]) => [
      memberId,
      share.all().filter(({ topic, partition }) => {
        const owner = owners.get(keyOf(topic, partition))
        return owner === undefined || owner === memberId
      }),
    ]),
  )
}

class Share {
  readonly #perTopic = new Map<string, number[]>()
  total = 0

  of(topic: string): number[] {
    return this.#perTopic.get(topic) ?? []
  }

  add(topic: string, partition: number): void {
    this.#perTopic.set(topic, [...this.of(topic), partition])
    this.total++
  }

  removeLast(topic: string): number {
    const partitions = [...this.of(topic)]
    const last = partitions.pop()!
    this.#perTopic.set(topic, partitions)
    this.total--
    return last
  }

  all(): TopicPartition[] {
    return [...this.#perTopic].flatMap(([topic, partitions]) => partitions.map((partition) => ({ topic, partition })))
  }
}

/** At most one apart within the topic. */
function level(shares: ReadonlyMap<string, Share>, takers: readonly string[], topic: string): void {
  for (;;) {
    const light = extreme(shares, takers, topic, -1)
    const heavy = extreme(shares, takers, topic, 1)
    if (shares.get(heavy)!.of(topic).length - shares.get(light)!.of(topic).length <= 1) return
    shares.get(light)!.add(topic, shares.get(heavy)!.removeLast(topic))
  }
}

/** Where one topic may lie with either of two members, it goes to the one with less in all. */
function levelTotals(shares: ReadonlyMap<string, Share>, takers: readonly string[], topic: string): void {
  for (;;) {
    const move = takers
      .flatMap((from) => takers.map((to) => ({ from: shares.get(from)!, to: shares.get(to)! })))
      .find(({ from, to }) => from.of(topic).length > to.of(topic).length && from.total - to.total > 1)
    if (move === undefined) return
    move.to.add(topic, move.from.removeLast(topic))
  }
}

function lightest(shares: ReadonlyMap<string, Share>, takers: readonly string[], topic: string): string {
  return extreme(shares, takers, topic, -1)
}

function extreme(shares: ReadonlyMap<string, Share>, takers: readonly string[], topic: string, sign: 1 | -1): string {
  let best = takers[0]!
  for (const taker of takers) {
    const one = shares.get(taker)!
    const other = shares.get(best)!
    const difference = one.of(topic).length - other.of(topic).length || one.total - other.total
    if (difference * sign > 0) best = taker
  }
  return best
}

function ownersOf(members: readonly GroupMember[]): Map<string, string> {
  const owners = new Map<string, string>()
  for (const { memberId, owned } of members) {
    for (const { topic, partition } of owned) owners.set(keyOf(topic, partition), memberId)
  }
  return owners
}

function keyOf(topic: string, partition: number): string {
  return `${partition} ${topic}`
}
