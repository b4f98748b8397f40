/** Where to read one partition. */
export interface FetchPlace {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** What a fetch has to say so that Kafka reads all that is wanted, and nothing else. */
export interface FetchPlan {
  readonly sessionId: number
  /** 0 in a full fetch, which names everything and begins a session anew. */
  readonly epoch: number
  /** Added since the last fetch, or to be read from elsewhere. */
  readonly places: readonly FetchPlace[]
  readonly forgotten: readonly FetchPlace[]
}

/** The epoch of a full fetch. */
export const FULL = 0
const NO_SESSION = 0
const EPOCH_MAX = 2 ** 31 - 1

/**
 * What Kafka remembers of our fetches over one connection (KIP-227): a fetch names only the partitions that are wanted
 * otherwise than the last time, and its answer holds only those with news. Kafka counts the fetches of a session and
 * refuses one that is out of step. So one fetch at a time, and the one after a fetch without an answer is a full one.
 */
export class FetchSession {
  #id = NO_SESSION
  #epoch = FULL
  /** By key, as Kafka has them once the fetch planned last has reached it. */
  readonly #known = new Map<string, FetchPlace>()

  /** The next fetch is a full one. It still names the session, so that Kafka drops that one. */
  lost(): void {
    this.#epoch = FULL
  }

  /**
   * `wanted` is everything to read from now on, by a key of the partition; not empty, for that ends a session. Counts
   * as lost until `answered`.
   */
  plan(wanted: ReadonlyMap<string, { readonly reader: FetchPlace }>): FetchPlan {
    const epoch = this.#epoch
    this.lost()
    if (epoch === FULL) this.#known.clear()
    const places = this.#learn(wanted)
    const forgotten = this.#known.size > wanted.size ? this.#forgetAllBut(wanted) : []
    return { sessionId: this.#id, epoch, places, forgotten }
  }

  /** Kafka did what the plan says. It gives no session (0) when it holds as many as it may. */
  answered({ epoch }: FetchPlan, sessionId: number): void {
    const goesOn = sessionId !== NO_SESSION && (epoch === FULL || sessionId === this.#id)
    this.#id = sessionId
    if (goesOn) this.#epoch = epoch === EPOCH_MAX ? 1 : epoch + 1
  }

  #learn(wanted: ReadonlyMap<string, { readonly reader: FetchPlace }>): FetchPlace[] {
    const learned: FetchPlace[] = []
    for (const [key, { reader }] of wanted) {
      const { topic, partition, offset } = reader
      if (this.#known.get(key)?.offset === offset) continue
      const place = { topic, partition, offset }
      this.#known.set(key, place)
      learned.push(place)
    }
    return learned
  }

  #forgetAllBut(wanted: ReadonlyMap<string, unknown>): FetchPlace[] {
    const forgotten: FetchPlace[] = []
    for (const [key, place] of this.#known) {
      if (wanted.has(key)) continue
      this.#known.delete(key)
      forgotten.push(place)
    }
    return forgotten
  }
}
