import type { Broker, Clock, Listener, LogRecord, Random, RecordToPublish, TopicSpec } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { Logger } from 'pino'
import { CLUSTER_TOPIC } from '../topics.ts'
import { TASK_ID_KEYS_MAX, type TaskIdKey, type TaskIdKeys } from './task-id.ts'

/**
 * The keys that sign task ids, shared by every process through a topic of one partition that is kept for ever. The
 * first record of a key id is the key: several processes that start at once on an empty topic all publish one, and all
 * take the first.
 *
 * Whoever can read this topic can forge ids, and so read other callers' results: on Kafka, let nobody read it but
 * Forebay. Whoever can write to it can add keys and thereby do the same.
 */
export interface ClusterKeys extends TaskIdKeys {
  /**
   * Adds a key. Every process takes it up as it hears of it and signs with it `SIGN_AFTER_MS` later, when all others
   * have heard of it too; ids of older keys stay good. Resolves with the key's id.
   */
  rotate(): Promise<number>
  close(): Promise<void>
}

export interface ClusterKeysParts {
  readonly broker: Broker
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

/** For `Broker.open`, which comes first. */
export const CLUSTER_TOPIC_SPEC: TopicSpec = { name: CLUSTER_TOPIC, partitions: 1, retentionMs: 'forever' }

/** How long a new key is known before it signs. ms */
export const SIGN_AFTER_MS = 60_000
/** How long a start waits to hear the topic's end before it goes by what it has heard. ms */
export const CATCH_UP_MAX_MS = 10_000
const LISTEN_AGAIN_MS = 1_000
const SECRET_BYTES = 32

/** Reads the topic to its end, makes the first key if there is none, and goes on listening for new ones. */
export async function openClusterKeys(parts: ClusterKeysParts): Promise<ClusterKeys> {
  const { broker, clock, random, log } = parts
  const keys = new Map<number, TaskIdKey>()
  let signing: TaskIdKey | null = null
  let next: { readonly key: TaskIdKey; readonly fromMs: number } | null = null
  let reached = 0
  let closed = false
  let listener: Listener | null = await broker.listen({ topic: CLUSTER_TOPIC, partition: 0, from: 'earliest' })
  const wakers = new Set<() => void>()
  const closing = new AbortController()
  const following = follow()

  try {
    const [state] = await broker.inspect({ topics: [CLUSTER_TOPIC] })
    if (state !== undefined && state.end > state.start) await heard(state.end)
    if (signing === null) await heard((await publishKey(0)) + 1)
    if (signing === null) {
      throw new ForebayError(
        'BROKER_UNAVAILABLE',
        `The key that signs task ids could not be read from ${CLUSTER_TOPIC}.`,
      )
    }
  } catch (thrown) {
    await close()
    throw thrown
  }

  return {
    signing(nowMs) {
      if (next !== null && nowMs >= next.fromMs) {
        signing = next.key
        next = null
      }
      return signing!
    },
    find: (id) => keys.get(id),
    async rotate() {
      const id = Math.max(...keys.keys()) + 1
      if (id >= TASK_ID_KEYS_MAX) throw new RangeError(`There are ${TASK_ID_KEYS_MAX} keys already.`)
      await heard((await publishKey(id)) + 1)
      return id
    },
    close,
  }

  async function follow(): Promise<void> {
    while (!closed) {
      try {
        listener ??= await broker.listen({ topic: CLUSTER_TOPIC, partition: 0, from: reached })
        for await (const records of listener) {
          for (const record of records) learn(record)
          reached = records.at(-1)!.offset + 1
          for (const wake of wakers) wake()
        }
      } catch (error) {
        if (!closed) log.warn({ err: error }, `listening to ${CLUSTER_TOPIC} failed; listening again`)
      }
      listener = null
      if (!closed) await clock.sleep(LISTEN_AGAIN_MS, closing.signal).catch(() => {})
    }
  }

  function learn(record: LogRecord): void {
    const id = keyIdOf(record)
    if (id === null || keys.has(id)) return
    const key = { id, secret: record.value! }
    keys.set(id, key)
    if (signing === null) signing = key
    else if (id > (next?.key ?? signing).id) next = { key, fromMs: record.timestampMs + SIGN_AFTER_MS }
  }

  async function publishKey(id: number): Promise<number> {
    const secret = new Uint8Array(SECRET_BYTES)
    random.fill(secret)
    const [position] = await broker.publish([keyRecord(id, secret)])
    return position!.offset
  }

  /** Resolves when everything below `offset` was heard; offsets may have gaps, so a time limit ends the wait as well. */
  function heard(offset: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.timer(CATCH_UP_MAX_MS, finish)
      wakers.add(check)
      check()

      function check(): void {
        if (reached >= offset) finish()
      }
      function finish(): void {
        timer.cancel()
        wakers.delete(check)
        resolve()
      }
    })
  }

  async function close(): Promise<void> {
    closed = true
    closing.abort()
    await listener?.close()
    await following
  }
}

function keyRecord(id: number, secret: Uint8Array): RecordToPublish {
  const headers: RecordToPublish['headers'] = [
    ['fb-kind', Buffer.from(KIND)],
    ['fb-key-id', Buffer.from(String(id))],
  ]
  return { topic: CLUSTER_TOPIC, partition: 0, key: Buffer.from(`${KIND}:${id}`), value: secret, headers }
}

/** Null for records that are no keys. */
function keyIdOf(record: LogRecord): number | null {
  if (record.value?.length !== SECRET_BYTES) return null
  const header = (name: string) => {
    const found = record.headers.find((one) => one[0] === name)
    return found === undefined ? '' : Buffer.from(found[1]).toString('latin1')
  }
  if (header('fb-kind') !== KIND || !/^\d{1,3}$/.test(header('fb-key-id'))) return null
  const id = Number(header('fb-key-id'))
  return id < TASK_ID_KEYS_MAX ? id : null
}

const KIND = 'task-id-key'
