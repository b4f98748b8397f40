import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { EventMeters } from './event-meters.ts'

/**
 * Metrics of producers, consumers and relays in a registry of prom-client. Make them once for a registry and give them to
 * all. Labels are bounded: topics, groups, types that are handled; never ids or keys.
 */
export function eventMetrics(registry: Registry): EventMeters {
  const registers = [registry]
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Counter({ name: `forebay_${name}`, help, labelNames, registers })
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Gauge({ name: `forebay_${name}`, help, labelNames, registers })
  const histogram = <Label extends string>(name: string, help: string, labelNames: Label[], buckets: number[]) =>
    new Histogram({ name: `forebay_${name}`, help, labelNames, buckets, registers })

  const published = counter('events_published_total', 'Events that the log has.', ['topic'])
  const failed = counter('events_publish_failed_total', 'Events that the log did not confirm.', ['topic', 'outcome'])
  const publish = histogram('events_publish_seconds', 'From publish to the word of the log.', ['topic'], SHORT)
  const publishing = gauge('events_publishing', 'Events on their way, or waiting for room.', ['topic'])

  const handled = counter('events_handled_total', 'Events whose handler succeeded.', ['group', 'type'])
  const delay = histogram('events_delay_seconds', 'From the log to the handler’s success.', ['group', 'type'], LONG)
  const skipped = counter('events_skipped_total', 'Events of types that nobody in the group handles.', ['group'])
  const retried = counter('events_retried_total', 'Attempts that failed and are followed by another.', ['group'])
  const dead = counter('events_dead_total', 'Dead letters written.', ['group'])
  const parked = gauge('events_parked', 'Events that are parked, as far as this process parked or took them.', [
    'group',
  ])
  const running = gauge('event_handlers_running', 'Calls of handlers under way.', ['group'])
  const calls = histogram('event_handler_seconds', 'Calls of handlers; a batch is one.', ['group', 'type'], SHORT)

  const relayed = counter('outbox_published_total', 'Rows that the relay published.', ['outbox'])
  const refused = counter('outbox_refused_total', 'Rows that could not be published as they are.', ['outbox'])
  const failures = counter('outbox_failures_total', 'Times that the database or the log failed.', ['outbox'])
  const rows = gauge('outbox_pending', 'Rows that wait, counted up to 100,000.', ['outbox'])
  const oldest = gauge('outbox_pending_seconds', 'Age of the row that has waited longest.', ['outbox'])
  const kept = gauge('outbox_refused', 'Refused rows that wait for an operator.', ['outbox'])

  return {
    producer(topic) {
      const publishedHere = published.labels(topic)
      const publishHere = publish.labels(topic)
      const publishingHere = publishing.labels(topic)
      return {
        onTheirWay: (delta) => publishingHere.inc(delta),
        published(seconds) {
          publishedHere.inc()
          publishHere.observe(seconds)
        },
        failed: (outcome) => failed.labels(topic, outcome).inc(),
      }
    },
    consumer(group) {
      const bind = (type: string) => ({
        handled: handled.labels(group, type),
        delay: delay.labels(group, type),
        calls: calls.labels(group, type),
      })
      const byType = new Map<string, ReturnType<typeof bind>>()
      const of = (type: string) => {
        const bound = byType.get(type) ?? bind(type)
        byType.set(type, bound)
        return bound
      }
      const runningHere = running.labels(group)
      return {
        handled(type, seconds) {
          of(type).handled.inc()
          of(type).delay.observe(seconds)
        },
        skipped: () => skipped.labels(group).inc(),
        retried: () => retried.labels(group).inc(),
        dead: () => dead.labels(group).inc(),
        parked: (delta) => parked.labels(group).inc(delta),
        callBegan: () => runningHere.inc(),
        callEnded(type, seconds) {
          runningHere.dec()
          of(type).calls.observe(seconds)
        },
      }
    },
    outbox: (outbox) => ({
      published: (count) => relayed.labels(outbox).inc(count),
      refused: () => refused.labels(outbox).inc(),
      failed: () => failures.labels(outbox).inc(),
      lag(waiting, oldestSeconds, refusedNow) {
        rows.labels(outbox).set(waiting)
        oldest.labels(outbox).set(oldestSeconds)
        kept.labels(outbox).set(refusedNow)
      },
    }),
  }
}

const SHORT = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const LONG = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600]
