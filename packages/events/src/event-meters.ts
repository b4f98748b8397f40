/** What producers, consumers and relays tell of themselves; `eventMetrics` of '@forebay/events/metrics' is one. */
export interface EventMeters {
  producer(topic: string): ProducerMeters
  consumer(group: string): ConsumerMeters
  outbox(name: string): OutboxMeters
}

export interface ProducerMeters {
  /** So many events are on their way, or are no more. */
  onTheirWay(delta: 1 | -1): void
  /** `seconds`: from the call to the log's word. */
  published(seconds: number): void
  /** 'refused': certainly not in the log; 'unknown': it may be. */
  failed(outcome: 'refused' | 'unknown'): void
}

export interface ConsumerMeters {
  /** A handler succeeded. `seconds`: since the log took the event. */
  handled(type: string, seconds: number): void
  skipped(): void
  retried(): void
  dead(): void
  parked(delta: number): void
  /** A call of a handler began, or ended after so long. A batch is one call. */
  callBegan(): void
  callEnded(type: string, seconds: number): void
}

export interface OutboxMeters {
  published(count: number): void
  refused(): void
  /** The database or the log failed, and the relay began again. */
  failed(): void
  /** Told from time to time by the relay that is at work. */
  lag(rows: number, oldestSeconds: number, refused: number): void
}

const nothing = () => {}
export const NO_METERS: EventMeters = {
  producer: () => ({ onTheirWay: nothing, published: nothing, failed: nothing }),
  consumer: () => ({
    handled: nothing,
    skipped: nothing,
    retried: nothing,
    dead: nothing,
    parked: nothing,
    callBegan: nothing,
    callEnded: nothing,
  }),
  outbox: () => ({ published: nothing, refused: nothing, failed: nothing, lag: nothing }),
}
