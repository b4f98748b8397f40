import { type Broker, type Clock, PublishError, type RecordHeader, type RecordToPublish } from '@forebay/broker'
import { toProblem } from '@forebay/protocol'
import type { Logger } from 'pino'
import { PROBLEM_JSON } from '../accept/problem.ts'
import { faultOf } from '../accept/task-view.ts'
import { isoTime } from '../iso-time.ts'
import type { QueueOptions } from '../options.ts'
import { CE_SPECVERSION, constant, formatBlobRef, latin1, resultRecord } from '../records.ts'
import { viewOf } from '../reply/views.ts'
import type { Result, Task } from '../task.ts'

/** What a copy says of its task beside the result; a gateway that ends a task does not know it. */
export type CopiedTask = Pick<Task, 'key' | 'headers'>

/**
 * The copies of results for other services: a queue with a `resultTopic` has each of its results there as well, as a
 * CloudEvent that needs no knowledge of Forebay. Null for a queue without.
 */
export interface ResultTopics {
  copy(result: Result, task: CopiedTask | null): RecordToPublish | null
}

export const NO_RESULT_TOPICS: ResultTopics = { copy: () => null }

/** `recordBytesMax`: as the log has it. */
export function resultTopics(queues: Iterable<QueueOptions>, recordBytesMax: number): ResultTopics {
  const topics = new Map<string, string>()
  for (const { name, resultTopic } of queues) if (resultTopic !== null) topics.set(name, resultTopic)
  if (topics.size === 0) return NO_RESULT_TOPICS
  return {
    copy(result, task) {
      const topic = topics.get(result.queue)
      return topic === undefined ? null : copyRecord(result, task, topic, recordBytesMax)
    },
  }
}

function copyRecord(result: Result, task: CopiedTask | null, topic: string, recordBytesMax: number): RecordToPublish {
  const { taskId, queue, attempts, generation, finishedAtMs, end } = result
  const headers: RecordHeader[] = [
    CE_SPECVERSION,
    ['ce_id', latin1(generation === 0 ? taskId : `${taskId}.${generation}`)],
    ['ce_type', constant(`forebay.task.${end.state}`)],
    ['ce_source', constant(`/forebay/queues/${queue}`)],
    ['ce_subject', latin1(taskId)],
    ['ce_time', latin1(isoTime(finishedAtMs))],
    ['content-type', constant(end.state === 'succeeded' ? end.contentType : PROBLEM_JSON)],
    ['fb-state', constant(end.state)],
    ['fb-attempts', constant(String(attempts))],
  ]
  if (end.state === 'succeeded' && end.blob !== undefined) headers.push(['fb-blob', latin1(formatBlobRef(end.blob))])
  for (const header of task?.headers ?? []) if (isTrace(header)) headers.push([header[0], latin1(header[1])])
  const value =
    end.state === 'succeeded' ? end.payload : Buffer.from(JSON.stringify(toProblem(faultOf(viewOf(result)))))
  const key = latin1(taskId)
  const orderingKey = task === null || task.key === null ? key : Buffer.from(task.key)
  // A key that another producer chose can be of any size.
  const fits = value.length + orderingKey.length + COPY_HEADERS_BYTES_MAX <= recordBytesMax
  return { topic, key: fits ? orderingKey : key, value, headers }
}

function isTrace([name, value]: Task['headers'][number]): boolean {
  return (name === 'traceparent' || name === 'tracestate') && value.length <= TRACE_CHARACTERS_MAX
}

/** As long as a tracestate may be. */
const TRACE_CHARACTERS_MAX = 512
const COPY_HEADERS_BYTES_MAX = 8 * 1024

export interface ResultPublisherParts {
  readonly broker: Broker
  readonly topics: ResultTopics
  readonly clock: Clock
  readonly log: Logger
}

/**
 * For a gateway that ends a task: the result on the task's lane, and only then its copy, so that no copy tells of an end
 * that never came to be. Rejects as the publish of the result does. The copy is tried `COPY_TRIES` times; a gateway that
 * dies before that leaves it out.
 */
export function resultPublisher({ broker, topics, clock, log }: ResultPublisherParts) {
  return async (result: Result, lane: number): Promise<void> => {
    await broker.publish([resultRecord(result, lane)])
    const copy = topics.copy(result, null)
    if (copy !== null) await publishCopy(copy, result.taskId)
  }

  async function publishCopy(copy: RecordToPublish, task: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await broker.publish([copy])
        return
      } catch (err) {
        if (tries === COPY_TRIES || !(err instanceof PublishError)) {
          log.error({ err, task, topic: copy.topic }, 'a result has no copy in its result topic')
          return
        }
        await clock.sleep(COPY_AGAIN_MS)
      }
    }
  }
}

/** Each takes until the broker's own `publishTimeoutMs` at most. */
const COPY_TRIES = 3
const COPY_AGAIN_MS = 200
