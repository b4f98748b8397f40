import { bodyCheck } from '../accept/body-schema.ts'
import type { QueueOptions, TargetOptions } from '../options.ts'
import type { ReadOptions, ReadQueue } from '../options-schema.ts'
import { CLUSTER_TOPIC, CONTROL_TOPIC, deadTopic, RESULTS_TOPIC, taskTopic } from '../topics.ts'
import { formatDuration } from './duration.ts'
import { type Place, quote } from './field.ts'
import type { FileReader } from './file-reader.ts'
import { routeShape } from './route-field.ts'
import { formatSize } from './size.ts'

export function resolveQueues(read: ReadOptions, place: Place, files: FileReader): ReadonlyMap<string, QueueOptions> {
  const queues = new Map<string, QueueOptions>()
  for (const [name, queue] of read.queues) queues.set(name, resolveQueue(name, queue, read, place.at(name), files))
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
  refuseQueueContradictions(queue, read, place)
  return {
    name,
    topic: queue.topic ?? taskTopic(name),
    route: queue.route,
    key: queue.key,
    order: queue.order,
    target: resolveTarget(queue, place.at('descriptors'), files),
    concurrency: queue.concurrency,
    rate: null,
    perKey: { concurrency: null, rate: null },
    fairness: null,
    timeoutMs: queue.timeout,
    deadlineMs: queue.deadline ?? Math.min(DEADLINE_DEFAULT_MS, read.retention),
    retry: {
      attemptsMax: queue.retry.attempts,
      withinMs: queue.retry.within,
      backoffMs: queue.retry.backoff,
      backoffMaxMs: queue.retry.backoffMax,
      jitter: 'full',
      on: null,
      budget: 0.1,
    },
    breaker: null,
    onExhausted: 'dead',
    schedule: [],
    idempotency: { required: false, windowMs: read.retention },
    schema: resolveSchema(name, queue.schema, place.at('schema'), files),
    bodyBytesMax: queue.bodyMax ?? read.http.bodyMax,
    partitions: queue.partitions ?? read.partitions,
  }
}

const DEADLINE_DEFAULT_MS = 24 * 3_600_000

function refuseQueueContradictions(queue: ReadQueue, read: ReadOptions, place: Place): void {
  const { key, route, retry } = queue
  if (key?.from === 'path') {
    if (route === null) {
      const message = `path.${key.parameter} needs a route.`
      const fix = `Add a route with {${key.parameter}}, as 'POST /things/{${key.parameter}}'.`
      place.at('key').refuse(`path.${key.parameter}`, message, fix)
    } else if (!route.parameters.includes(key.parameter)) {
      const has = route.parameters.length === 0 ? 'nothing' : route.parameters.map((one) => `{${one}}`).join(', ')
      const message = `The route ${quote(route.path)} has ${has} for path.${key.parameter}.`
      const fix = route.parameters[0] ? `Write path.${route.parameters[0]}.` : `Put {${key.parameter}} into the route.`
      place.at('key').refuse(`path.${key.parameter}`, message, fix)
    }
  }
  if (queue.deadline !== null && queue.deadline > read.retention) {
    const message = `Tasks may take ${formatDuration(queue.deadline)}, but records are kept ${formatDuration(read.retention)}.`
    const fix = `Write ${formatDuration(read.retention)} or less, or raise \`retention\`.`
    place.at('deadline').refuse(queue.deadline, message, fix)
  }
  if (retry.backoff > retry.backoffMax) {
    const message = `The first pause (${formatDuration(retry.backoff)}) is longer than the longest.`
    place.at('retry', 'backoffMax').refuse(retry.backoffMax, message, `Write ${formatDuration(retry.backoff)} or more.`)
  }
  if (queue.bodyMax !== null && queue.bodyMax > read.http.bodyMax) {
    const message = `http.bodyMax (${formatSize(read.http.bodyMax)}) is the largest body of any queue.`
    place.at('bodyMax').refuse(queue.bodyMax, message, 'Raise http.bodyMax, or write less.')
  }
}

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

/** Each queue has a topic and a dead-letter topic; none may be another's, nor one of Forebay's own. */
function refuseTopicConflicts(queues: ReadonlyMap<string, QueueOptions>, place: Place): void {
  const owners = new Map([
    [RESULTS_TOPIC, 'Forebay itself'],
    [CLUSTER_TOPIC, 'Forebay itself'],
    [CONTROL_TOPIC, 'Forebay itself'],
  ])
  for (const { name, topic } of queues.values()) {
    const taken = [topic, deadTopic(topic)].find((one) => owners.has(one))
    if (taken !== undefined) {
      const message = `The topic ${taken} is used by ${owners.get(taken)} already.`
      place.at(name, 'topic').refuse(topic, message, 'Name another topic.')
    }
    owners.set(topic, `the queue ${quote(name)}`)
    owners.set(deadTopic(topic), `the dead letters of the queue ${quote(name)}`)
  }
}
