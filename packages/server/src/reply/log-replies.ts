import { type Broker, type Clock, partitionOf } from '@forebay/broker'
import type { TaskIdParts } from '../accept/task-id.ts'
import type { Recorder } from '../finish/recorder.ts'
import type { Store } from '../store/store.ts'
import { isEndState, type Result } from '../task.ts'
import type { Telemetry } from '../telemetry.ts'
import { ReadBarrier } from './read-barrier.ts'
import type { Expectation, Replies, TaskView, Watch } from './replies.ts'
import { TaskWatch, type WatchSource } from './task-watch.ts'
import { viewOfStored } from './views.ts'
import { Waiters } from './waiters.ts'
import { Watches } from './watches.ts'

export interface RepliesParts {
  readonly broker: Broker
  readonly store: Store
  /** Not started yet: what is heard from its start on comes here. */
  readonly recorder: Recorder
  /** Partitions of the results topic. */
  readonly lanes: number
  /** Picks the lane, the same one after a restart. */
  readonly instance: string
  readonly waitersMax: number
  readonly watchersMax: number
  readonly clock: Clock
  readonly telemetry: Telemetry
}

export interface RunningReplies extends Replies {
  /** Answers all who wait with "not yet", and ends every watch. */
  stop(): void
}

export function createReplies(parts: RepliesParts): RunningReplies {
  const { store, recorder, clock, telemetry } = parts
  const { waiters: gauge, watchers } = telemetry.metrics
  const lane = partitionOf(Buffer.from(parts.instance), parts.lanes)
  let expecting = 0
  let reading = 0
  const own = new Waiters<Result>(parts.waitersMax, clock, (count) => {
    expecting = count
    gauge.set(expecting + reading)
  })
  const others = new Waiters<true>(parts.waitersMax, clock, (count) => {
    reading = count
    gauge.set(expecting + reading)
  })
  const watches = new Watches(parts.watchersMax, (count) => watchers.set(count))
  const barrier = new ReadBarrier(parts.broker, recorder, clock)
  let stopped = false
  recorder.onHeard = (partition, result) => {
    if (partition === lane) own.wake(result.taskId, result)
  }
  recorder.onStored = (entry) => {
    watches.tell(entry)
    if (entry.kind === 'result') others.wake(entry.result.taskId, true)
  }
  recorder.isAwaited = (taskId) => others.has(taskId) || watches.has(taskId)
  const source: WatchSource = {
    outputs: store.outputs,
    async look(id, first) {
      if (first) await barrier.pass(id.lane)
      const stored = await store.get(id.id)
      if (stored === null) return null
      return { view: viewOfStored(stored), atMs: 'atMs' in stored.status ? stored.status.atMs : 0 }
    },
    over: (watch) => watches.remove(watch),
  }

  return {
    lane,

    expect(taskId): Expectation | null {
      if (stopped || expecting + reading >= parts.waitersMax) return null
      const waiter = own.add(taskId)
      if (waiter === null) return null
      return {
        result: (waitMs, signal) => waiter.wait(waitMs, signal),
        cancel: () => waiter.release(null),
      }
    },

    async read(id, waitMs, signal): Promise<TaskView | null> {
      const early = await lookUp(id)
      if (early !== null && isEndState(early.state)) return early
      const mayWait = waitMs > 0 && !stopped && expecting + reading < parts.waitersMax
      // Subscribed before the look that decides, so that no end falls between the two.
      const waiter = mayWait ? others.add(id.id) : null
      try {
        await barrier.pass(id.lane)
        const view = await lookUp(id)
        if (waiter === null || (view !== null && isEndState(view.state))) return view
        await waiter.wait(waitMs, signal)
        signal?.throwIfAborted()
        return await lookUp(id)
      } finally {
        waiter?.release(null)
      }
    },

    watch(id, after): Watch | null {
      if (stopped || watches.full) return null
      const watch = new TaskWatch(id, after, source)
      watches.add(watch)
      return watch
    },

    stop() {
      stopped = true
      own.releaseAll()
      others.releaseAll()
      watches.stopAll()
    },
  }

  async function lookUp(id: TaskIdParts): Promise<TaskView | null> {
    const stored = await store.get(id.id)
    return stored === null ? null : viewOfStored(stored)
  }
}
