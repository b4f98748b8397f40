import { bodyCheck } from '../accept/body-schema.ts'
import type { QueueOptions, TargetOptions } from '../options.ts'
import type { ReadOptions, ReadQueue } from '../options-schema.ts'
import { CLUSTER_TOPIC, CONTROL_TOPIC, deadTopic, RESULTS_TOPIC, taskTopic } from '../topics.ts'
import { type Place, quote } from './field.ts'
import type { FileReader } from './file-reader.ts'
import { refuseContradictions } from './refuse-contradictions.ts'
import { refuseSchedules } from './refuse-schedules.ts'
import { type ParkingPlace, refuseUnparkable } from './refuse-unparkable.ts'
import { routeShape } from './route-field.ts'

export function resolveQueues(
  read: ReadOptions,
  place: Place,
  files: FileReader,
  parking: ParkingPlace,
): ReadonlyMap<string, QueueOptions> {
  const queues = new Map<string, QueueOptions>()
  for (const [name, given] of read.queues) {
    refuseContradictions(given, read, place.at(name))
    const queue = resolveQueue(name, given, read, place.at(name), files)
    refuseUnparkable(queue, parking, place.at(name))
    refuseSchedules(queue, place.at(name, 'schedule'))
    queues.set(name, queue)
  }
  refuseRouteConflicts(queues, place)
  refuseTopicConflicts(queues, place)
  return queues
}

function resolveQueue(
  name: string,
  queue: ReadQueue,
  read: ReadOptions,
  place: Place,
  files: FileReader,
): QueueOptions {
  return {
    name,
    topic: queue.topic ?? taskTopic(name),
    route: queue.route,
    key: queue.key,
    order: queue.order,
    target: resolveTarget(queue, place.at('descriptors'), files),
    concurrency: queue.concurrency,
    rate: queue.rate,
    perKey: queue.perKey,
    fairness: queue.fairness,
    timeoutMs: queue.timeout,
    deadlineMs: queue.deadline ?? Math.min(DEADLINE_DEFAULT_MS, read.retention),
    retry: queue.retry,
    breaker: queue.breaker,
    onExhausted: queue.onExhausted,
    onClientGone: queue.onClientGone,
    schedule: [...queue.schedule].map(([schedule, entry]) => ({ name: schedule, ...entry })),
    idempotency: { required: queue.idempotency.required, windowMs: queue.idempotency.window ?? read.retention },
    resultTopic: queue.resultTopic,
    schema: resolveSchema(name, queue.schema, place.at('schema'), files),
    bodyBytesMax: queue.bodyMax ?? read.http.bodyMax,
    partitions: queue.partitions ?? read.partitions,
  }
}

const DEADLINE_DEFAULT_MS = 24 * 3_600_000

function resolveTarget(queue: ReadQueue, place: Place, files: FileReader): TargetOptions {
  const { target, descriptors } = queue
  if (descriptors === null) return target
  if (target.kind === 'grpc') return { ...target, descriptors: files.existing(descriptors, place) }
  const message = `A target of kind '${target.kind}' has no descriptors.`
  place.refuse(descriptors, message, 'Take it out, or name a grpc:// target.')
  return target
}

function resolveSchema(queue: string, given: string | object | null, place: Place, files: FileReader): object | null {
  const schema = typeof given === 'string' ? files.json(given, place) : given
  if (schema === null) return null
  try {
    bodyCheck(queue, schema)
  } catch (error) {
    place.refuse(given, `${(error as Error).message.replace(/\.$/, '')}.`, 'Mend the schema.')
  }
  return schema
}

function refuseRouteConflicts(queues: ReadonlyMap<string, QueueOptions>, place: Place): void {
  const owners = new Map<string, string>()
  for (const { name, route } of queues.values()) {
    if (route === null) continue
    const shape = routeShape(route)
    const owner = owners.get(shape)
    if (owner !== undefined) {
      const message = `The queue ${quote(owner)} catches the same requests.`
      place.at(name, 'route').refuse(`${route.method} ${route.path}`, message, 'Give one of them another path.')
    } else owners.set(shape, name)
  }
}

/**
 * Each queue has a topic and a dead-letter topic; none may be another's, nor one of Forebay's own. Topics of results may
 * be shared, but they are none of these.
 */
function refuseTopicConflicts(queues: ReadonlyMap<string, QueueOptions>, place: Place): void {
  const owners = ownTopics()
  for (const { name, topic } of queues.values()) {
    const taken = [topic, deadTopic(topic)].find((one) => owners.has(one))
    if (taken !== undefined) {
      const message = `The topic ${taken} is used by ${owners.get(taken)} already.`
      place.at(name, 'topic').refuse(topic, message, 'Name another topic.')
    }
    owners.set(topic, `the queue ${quote(name)}`)
    owners.set(deadTopic(topic), `the dead letters of the queue ${quote(name)}`)
  }
  for (const { name, resultTopic } of queues.values()) {
    if (resultTopic === null || !owners.has(resultTopic)) continue
    const message = `The topic ${resultTopic} is used by ${owners.get(resultTopic)} already.`
    place.at(name, 'resultTopic').refuse(resultTopic, message, 'Name another topic.')
  }
}

/** Topics that no configuration may name, and whose they are. */
export function ownTopics(): Map<string, string> {
  return new Map([RESULTS_TOPIC, CLUSTER_TOPIC, CONTROL_TOPIC].map((topic) => [topic, 'Forebay itself']))
}
