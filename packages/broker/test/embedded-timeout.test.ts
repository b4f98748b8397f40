import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Position, PublishError } from '../src/broker.ts'
import type { Clock } from '../src/clock.ts'
import { record, text } from '../src/contract/contract-log.ts'
import { RecordReader } from '../src/contract/readers.ts'
import { folder, opened } from './support/embedded-log.ts'

const TOPIC = { name: 'tasks', partitions: 1, retentionMs: 'forever' as const }

/** Time stands still until the test moves it. */
class ManualClock implements Clock {
  #nowMs = 0
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>()

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  timer(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  sleep(): Promise<void> {
    throw new Error('The embedded log does not sleep.')
  }

  move(ms: number): void {
    this.#nowMs += ms
    for (const timer of [...this.#timers]) {
      if (timer.atMs <= this.#nowMs && this.#timers.delete(timer)) timer.callback()
    }
  }
}

test('at the timeout, what is on its way to the disk is unknown, and what still waited is refused and never written', async (context) => {
  const clock = new ManualClock()
  const options = { dir: await folder(context), clock, publishTimeoutMs: 1000, retentionIntervalMs: 1_000_000 }
  const broker = await opened(context, options, [TOPIC])
  const onItsWay = outcomeOf(broker.publish([record(TOPIC, 'on its way')]))
  await Promise.resolve()
  const waiting = outcomeOf(broker.publish([record(TOPIC, 'waiting')]))
  clock.move(1000)
  assert.equal(await onItsWay, 'unknown')
  assert.equal(await waiting, 'refused')

  const [last] = await broker.publish([record(TOPIC, 'last')])
  const listener = await broker.listen({ topic: 'tasks', partition: 0, from: 'earliest' })
  const read = await new RecordReader(listener).takeUntil((one) => one.offset === last!.offset)
  assert.deepEqual(
    read.map((one) => text(one.value)),
    ['on its way', 'last'],
  )
})

test('the timeout of a later call runs from that call', async (context) => {
  const clock = new ManualClock()
  const options = { dir: await folder(context), clock, publishTimeoutMs: 1000, retentionIntervalMs: 1_000_000 }
  const broker = await opened(context, options, [TOPIC])
  await broker.publish([record(TOPIC, 'first')])
  clock.move(900)
  const second = broker.publish([record(TOPIC, 'second')])
  clock.move(900)
  assert.equal((await second).length, 1)
})

async function outcomeOf(publishing: Promise<readonly Position[]>): Promise<string> {
  try {
    await publishing
    return 'durable'
  } catch (error) {
    assert.ok(error instanceof PublishError, String(error))
    assert.equal(error.failed.length, 1)
    return error.failed[0]!.outcome
  }
}
