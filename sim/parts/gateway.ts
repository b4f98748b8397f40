import { type Clock, partitionOf } from '@forebay/broker'
import type { AcceptingQueue } from '../../packages/server/src/accept/accepting-queue.ts'
import { type CancelTask, createCancelTask } from '../../packages/server/src/accept/cancel-task.ts'
import { createReadTask, type ReadTask } from '../../packages/server/src/accept/read-task.ts'
import { createSubmit, type Submit } from '../../packages/server/src/accept/submit.ts'
import { createTaskIds } from '../../packages/server/src/accept/task-id.ts'
import { redrive } from '../../packages/server/src/dead/redrive.ts'
import { createRecorder, type Recorder } from '../../packages/server/src/finish/recorder.ts'
import { NO_RESULT_TOPICS, resultPublisher } from '../../packages/server/src/finish/result-topics.ts'
import { createReplies, type RunningReplies } from '../../packages/server/src/reply/log-replies.ts'
import type { Parking } from '../../packages/server/src/store/parking.ts'
import type { Store } from '../../packages/server/src/store/store.ts'
import { usableParking } from '../../packages/server/src/store/usable-parking.ts'
import type { SimBroker } from '../log/broker.ts'
import type { SimProcess } from '../process.ts'
import { LANES, QUEUES, TOPICS } from '../queues.ts'
import { TELEMETRY } from '../telemetry.ts'
import type { Program } from './node.ts'

const WAITERS_MAX = 100
const RETENTION_MS = 86_400_000
/** All gateways sign with one key; how they come to share it is tested elsewhere. */
const KEY = { id: 0, secret: Buffer.from('a secret of the simulation only. ') }
const KEYS = { signing: () => KEY, find: (id: number) => (id === KEY.id ? KEY : undefined) }

/** What a gateway's process runs, behind its doors: submit, read and cancel, with the recorder that feeds its reads. */
export class SimGateway implements Program {
  ready = false
  readonly submit: Submit
  readonly read: ReadTask
  readonly cancel: CancelTask
  /** Null where nothing can be parked. */
  readonly parking: Parking | null
  readonly #clock: Clock
  readonly #broker: SimBroker
  readonly #store: Store
  readonly #recorder: Recorder
  readonly #replies: RunningReplies

  constructor(process: SimProcess, broker: SimBroker, store: Store) {
    const { clock, random } = process
    this.#clock = clock
    this.#broker = broker
    this.#store = store
    this.parking = usableParking(store, broker)
    const common = { broker, store, clock, telemetry: TELEMETRY }
    this.#recorder = createRecorder({ ...common, partitions: LANES, random })
    const instance = process.name.replace(/#.*/, '')
    const replies = createReplies({
      ...common,
      recorder: this.#recorder,
      lanes: LANES,
      instance,
      waitersMax: WAITERS_MAX,
      watchersMax: WAITERS_MAX,
    })
    this.#replies = replies
    const ids = createTaskIds(
      KEYS,
      QUEUES.map(({ name }) => name),
      random,
    )
    this.submit = createSubmit({ ...common, replies, ids })
    const publishResult = resultPublisher({ broker, topics: NO_RESULT_TOPICS, clock, log: TELEMETRY.log })
    this.read = createReadTask({ ids, publishResult, replies, clock, retentionMs: RETENTION_MS })
    this.cancel = createCancelTask({
      ...common,
      publishResult,
      replies,
      readTask: this.read,
      ownerOf: (_text, principal) => principal,
    })
  }

  async start(): Promise<void> {
    await this.#broker.open({ topics: TOPICS })
    await this.#store.open()
    await this.#recorder.start()
    this.ready = true
  }

  async stop(): Promise<void> {
    this.ready = false
    this.#replies.stop()
    await this.#recorder.stop()
    await this.#store.close()
    await this.#broker.close()
  }

  /** Gives open dead letters another life; resolves with how many. */
  async redrive(limit: number): Promise<number> {
    const queues = new Map(QUEUES.map((queue) => [queue.name, queue]))
    const knownLife = async (taskId: string) => {
      const known = await this.#store.get(taskId)
      return known === null ? null : { generation: known.generation, state: known.status.state }
    }
    const parts = { broker: this.#broker, clock: this.#clock, queues, lanes: LANES, knownLife }
    const choice = { by: 'filter', filter: {}, limit } as const
    const request = { choice, ratePerS: 50, force: false, by: 'operator', reason: '', edit: null }
    let redriven = 0
    for await (const progress of redrive(parts, request, NEVER)) redriven = progress.redriven
    return redriven
  }
}

const NEVER = new AbortController().signal

/** What doors know of a queue. */
export function acceptingQueue(name: string): AcceptingQueue {
  const options = QUEUES.find((queue) => queue.name === name)!
  let turn = 0
  return {
    options,
    nameJson: JSON.stringify(name),
    meters: TELEMETRY.metrics.queue(name),
    check: () => null,
    checkBody: () => {},
    partition: (key) =>
      key === null ? turn++ % options.partitions : partitionOf(Buffer.from(key), options.partitions),
  }
}
