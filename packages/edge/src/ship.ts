import {
  type Backoff,
  type Broker,
  backoffMs,
  type Clock,
  PublishError,
  type Random,
  type RecordToPublish,
} from '@forebay/broker'

export interface ShipperParts {
  readonly broker: Pick<Broker, 'publish'>
  readonly clock: Clock
  readonly random: Pick<Random, 'unit'>
  /** Told once each time the log stops taking records, and once when it takes them again. */
  readonly onTrouble: (cause: unknown) => void
  readonly onBetter: () => void
}

/** Gets records into the log, however long that takes: again and again what is not known to be there. */
export class Shipper {
  readonly #parts: ShipperParts
  #failing = 0

  constructor(parts: ShipperParts) {
    this.#parts = parts
  }

  /** Whether the log takes records as far as is known. */
  get healthy(): boolean {
    return this.#failing === 0
  }

  /**
   * Resolves once the log has all of them, in order unless an answer was lost (some may then be there twice). Rejects
   * only with the signal's reason.
   */
  async ship(records: readonly RecordToPublish[], signal: AbortSignal): Promise<void> {
    let left = records
    for (let failures = 0; ; failures++) {
      signal.throwIfAborted()
      try {
        await this.#parts.broker.publish(left)
        if (failures > 0) this.#better()
        return
      } catch (thrown) {
        if (thrown instanceof PublishError) left = thrown.failed.map(({ index }) => left[index]!)
        if (failures === 0) this.#worse(thrown)
        await this.#parts.clock.sleep(backoffMs(BACKOFF, failures, this.#parts.random), signal).catch((reason) => {
          this.#better()
          throw reason
        })
      }
    }
  }

  #worse(cause: unknown): void {
    if (this.#failing++ === 0) this.#parts.onTrouble(cause)
  }

  #better(): void {
    if (--this.#failing === 0) this.#parts.onBetter()
  }
}

const BACKOFF: Backoff = { firstMs: 100, maxMs: 5_000 }
