import type { Logger } from 'pino'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { EndState } from './task.ts'

/**
 * What a process says of itself: structured logs (pino) and metrics (Prometheus text at /metrics). Labels are bounded:
 * queue names, states, codes; never ids, keys or principals.
 */
export interface Telemetry {
  readonly log: Logger
  readonly metrics: Metrics
}

export interface Metrics {
  readonly registry: Registry
  /** The meters of one queue, bound once so that the hot path looks nothing up. */
  queue(name: string): QueueMeters
  /** Events that callers published through this process and the log has, by name. */
  readonly eventsAccepted: Counter<'event'>
  /** Results that came second and were dropped (P2). */
  readonly duplicateResults: Counter
  /** Records that could not be read as what their topic holds. */
  readonly undecodable: Counter<'topic'>
  readonly waiters: Gauge
  readonly watchers: Gauge
  readonly webSockets: Gauge
  readonly workerSessions: Gauge
  /** Calls of callbacks by what came of them. */
  readonly webhooks: Counter<'outcome'>
  readonly webhooksRunning: Gauge
  readonly webhooksLate: Gauge
  /** Outcomes that workers sent for leases they did not hold. */
  readonly outcomesRefused: Counter
  readonly refused: Counter<'code'>
  /** Tasks whose end waits, as too many of their queue end dead at once. */
  readonly deadLettersWaiting: Gauge<'queue'>
}

export interface QueueMeters {
  accepted(): void
  attempted(): void
  /** `seconds`: from acceptance to the result. */
  finished(state: EndState, seconds: number): void
  retried(): void
  running(delta: 1 | -1): void
  /** So many tasks left the log for their parking place, or came back from it. */
  parked(count: number): void
  unparked(count: number): void
  /** A retry had to wait because of the retry budget. */
  throttled(): void
  breaker(state: 'closed' | 'half-open' | 'open'): void
  /** Partitions whose window is full because of a task that does not end. */
  windowsBlocked(count: number): void
}

export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const accepted = new Counter({
    name: 'forebay_tasks_accepted_total',
    help: 'Tasks that this process acknowledged.',
    labelNames: ['queue'],
    registers,
  })
  const attempts = new Counter({
    name: 'forebay_attempts_total',
    help: 'Hand-overs of tasks to workers and targets.',
    labelNames: ['queue'],
    registers,
  })
  const retries = new Counter({
    name: 'forebay_retries_total',
    help: 'Attempts that failed and are followed by another.',
    labelNames: ['queue'],
    registers,
  })
  const running = new Gauge({
    name: 'forebay_attempts_running',
    help: 'Attempts under way.',
    labelNames: ['queue'],
    registers,
  })
  const results = new Counter({
    name: 'forebay_results_total',
    help: 'Results that this process published.',
    labelNames: ['queue', 'state'],
    registers,
  })
  const duration = new Histogram({
    name: 'forebay_task_duration_seconds',
    help: 'From acceptance to the published result.',
    labelNames: ['queue'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600],
    registers,
  })
  const parked = new Counter({
    name: 'forebay_tasks_parked_total',
    help: 'Tasks that left the log for their parking place.',
    labelNames: ['queue'],
    registers,
  })
  const unparked = new Counter({
    name: 'forebay_tasks_unparked_total',
    help: 'Parked tasks that were ended, dropped or given back to the log.',
    labelNames: ['queue'],
    registers,
  })
  const throttled = new Counter({
    name: 'forebay_retries_throttled_total',
    help: 'Times that a retry had to wait because of the retry budget.',
    labelNames: ['queue'],
    registers,
  })
  const breaker = new Gauge({
    name: 'forebay_breaker_state',
    help: 'Breaker of the queue in this process: 0 closed, 1 trying, 2 open.',
    labelNames: ['queue'],
    registers,
  })
  const windowsBlocked = new Gauge({
    name: 'forebay_window_blocked',
    help: 'Partitions whose window is full because of a task that does not end.',
    labelNames: ['queue'],
    registers,
  })
  const bound = new Map<string, QueueMeters>()
  return {
    registry,
    queue(name) {
      let meters = bound.get(name)
      if (meters === undefined) {
        meters = bindQueue(name)
        bound.set(name, meters)
      }
      return meters
    },
    eventsAccepted: new Counter({
      name: 'forebay_events_accepted_total',
      help: 'Events that this process acknowledged, by name.',
      labelNames: ['event'],
      registers,
    }),
    duplicateResults: new Counter({
      name: 'forebay_results_duplicate_total',
      help: 'Results that came second for their task and were dropped.',
      registers,
    }),
    undecodable: new Counter({
      name: 'forebay_records_undecodable_total',
      help: 'Records that could not be read as what their topic holds.',
      labelNames: ['topic'],
      registers,
    }),
    watchers: new Gauge({ name: 'forebay_watchers', help: 'Streams that follow a task.', registers }),
    webSockets: new Gauge({ name: 'forebay_websockets', help: 'WebSockets that are open.', registers }),
    waiters: new Gauge({ name: 'forebay_waiters', help: 'Callers that wait for a result.', registers }),
    webhooks: new Counter({
      name: 'forebay_webhooks_total',
      help: 'Calls of callbacks: delivered, again, given-up, disabled; later: no call was made yet; lost: another took it over.',
      labelNames: ['outcome'],
      registers,
    }),
    webhooksRunning: new Gauge({ name: 'forebay_webhooks_running', help: 'Calls of callbacks under way.', registers }),
    webhooksLate: new Gauge({
      name: 'forebay_webhooks_due_seconds',
      help: 'How long the callback that is due longest has waited for its call; 0: none waits.',
      registers,
    }),
    workerSessions: new Gauge({ name: 'forebay_worker_sessions', help: 'Workers that are connected.', registers }),
    outcomesRefused: new Counter({
      name: 'forebay_outcomes_refused_total',
      help: 'Outcomes that workers sent for leases they did not hold.',
      registers,
    }),
    refused: new Counter({
      name: 'forebay_requests_refused_total',
      help: 'Requests that were answered with an error, by its code.',
      labelNames: ['code'],
      registers,
    }),
    deadLettersWaiting: new Gauge({
      name: 'forebay_dead_letters_waiting',
      help: 'Tasks whose end waits, as too many of their queue end dead at once.',
      labelNames: ['queue'],
      registers,
    }),
  }

  function bindQueue(queue: string): QueueMeters {
    const acceptedHere = accepted.labels(queue)
    const attemptsHere = attempts.labels(queue)
    const retriesHere = retries.labels(queue)
    const runningHere = running.labels(queue)
    const durationHere = duration.labels(queue)
    const parkedHere = parked.labels(queue)
    const unparkedHere = unparked.labels(queue)
    const throttledHere = throttled.labels(queue)
    const breakerHere = breaker.labels(queue)
    const windowsBlockedHere = windowsBlocked.labels(queue)
    const resultsHere = new Map<EndState, Counter.Internal>()
    return {
      accepted: () => acceptedHere.inc(),
      attempted: () => attemptsHere.inc(),
      retried: () => retriesHere.inc(),
      running: (delta) => runningHere.inc(delta),
      parked: (count) => parkedHere.inc(count),
      unparked: (count) => unparkedHere.inc(count),
      throttled: () => throttledHere.inc(),
      breaker: (state) => breakerHere.set(BREAKER_LEVELS[state]),
      windowsBlocked: (count) => windowsBlockedHere.set(count),
      finished(state, seconds) {
        let counter = resultsHere.get(state)
        if (counter === undefined) {
          counter = results.labels(queue, state)
          resultsHere.set(state, counter)
        }
        counter.inc()
        durationHere.observe(seconds)
      },
    }
  }
}

const BREAKER_LEVELS = { closed: 0, 'half-open': 1, open: 2 } as const
