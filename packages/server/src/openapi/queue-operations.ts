import { bodyCheck } from '../accept/body-schema.ts'
import { followSteps, pointerSteps } from '../json-pointer.ts'
import type { QueueOptions } from '../options.ts'
import { exampleOf } from './example.ts'
import { ANY_TYPE, type Json, schema } from './json.ts'
import type { DocumentParts } from './operation.ts'
import { submitOperation } from './submit-operation.ts'

/** The queues' own addresses, so that each has its parameters, its schema and its limits. */

export interface QueueAddress {
  readonly method: string
  readonly path: string
  readonly operation: Json
}

export function queueAddresses(parts: DocumentParts): QueueAddress[] {
  const names = distinctNames(parts.queues)
  return parts.queues.flatMap((queue) => {
    const operationId = `submit_${names.get(queue)!}`
    const summary = `Hands in a task of ${queue.name}`
    const common = { description: aboutQueue(queue), tag: 'queues', queue, body: bodyContent(queue, names.get(queue)!) }
    const plain = submitOperation({ ...common, operationId, summary, pathParameters: [] }, parts)
    const found = [{ method: 'POST', path: `/v1/queues/${queue.name}/tasks`, operation: plain }]
    if (queue.route === null) return found
    const { method, path } = queue.route
    const own = { operationId: `${operationId}_by_route`, summary: `${summary} at its own address` }
    const operation = submitOperation({ ...common, ...own, pathParameters: pathParameters(queue) }, parts)
    return [...found, { method, path, operation }]
  })
}

/** The name of a queue's body among the schemas, its queue in letters that every generator takes. */
export function bodySchemaName(name: string): string {
  return `Task_${name}`
}

/** Letters, digits and '_' for each queue, no two alike. */
export function distinctNames(queues: readonly QueueOptions[]): Map<QueueOptions, string> {
  const taken = new Set<string>()
  const names = new Map<QueueOptions, string>()
  for (const queue of queues) {
    const plain = queue.name.replace(/\W/g, '_')
    let name = plain
    for (let number = 2; taken.has(name.toLowerCase()); number++) name = `${plain}_${number}`
    taken.add(name.toLowerCase())
    names.set(queue, name)
  }
  return names
}

/** Bytes of any type; generated clients that know no `ANY_TYPE` send them as they are. */
export function anyBody(example?: unknown): Json {
  return {
    'application/octet-stream': { schema: { type: 'string', format: 'binary' } },
    [ANY_TYPE]: { schema: {}, ...(example === undefined ? {} : { example }) },
  }
}

function bodyContent(queue: QueueOptions, name: string): Json {
  const { schema: declared } = queue
  const example = bodyExample(queue)
  if (declared === null) return anyBody(example)
  const shown = example === undefined ? {} : { example }
  return { 'application/json': { schema: schema(bodySchemaName(name)), ...shown } }
}

/** One that the queue would take; undefined where none comes to mind. */
function bodyExample({ name, schema: declared, key }: QueueOptions): unknown {
  const example = declared === null ? { hello: 'world' } : exampleOf(declared, declared as Json)
  const whole = key?.from === 'body' ? withKey(example, pointerSteps(key.pointer)) : example
  try {
    if (declared !== null) bodyCheck(name, declared)(whole)
    return whole
  } catch {
    return undefined
  }
}

/** With a key at its place, where the example has none. */
function withKey(example: unknown, steps: readonly string[]): unknown {
  if (followSteps(example, steps) !== undefined) return example
  const [step, ...deeper] = steps
  if (step === undefined) return KEY_EXAMPLE
  if (/^\d+$/.test(step)) return [withKey(undefined, deeper)]
  const known = typeof example === 'object' && example !== null ? (example as Json) : {}
  return { ...known, [step]: withKey(known[step], deeper) }
}

const KEY_EXAMPLE = 'key-7'

function pathParameters({ route, key }: QueueOptions): Json[] {
  return (route?.parameters ?? []).map((name) => {
    const isKey = key?.from === 'path' && key.parameter === name
    return {
      name,
      in: 'path',
      required: true,
      ...(isKey ? { description: 'The ordering key of the task.' } : {}),
      schema: { type: 'string', minLength: 1 },
      example: `${name}-7`,
    }
  })
}

function aboutQueue({ name, bodyBytesMax, order, key, idempotency, schema: declared }: QueueOptions): string {
  return [
    `Queue \`${name}\`: bodies of at most ${bodyBytesMax} bytes${declared === null ? ', of any media type' : ', JSON that meets its schema'}.`,
    ...(order === 'key' ? ['The tasks of one key run one at a time, in the order kept.'] : []),
    ...(key === null ? [] : [`The ordering key comes from ${keyPlace(key)}.`]),
    ...(idempotency.required ? ['An Idempotency-Key is required.'] : []),
  ].join(' ')
}

function keyPlace(key: NonNullable<QueueOptions['key']>): string {
  if (key.from === 'path') return `{${key.parameter}} in the path of its own address`
  return key.from === 'header' ? `the header ${key.header}` : `${key.pointer} in the body`
}
