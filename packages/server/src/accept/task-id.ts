import { hash, timingSafeEqual } from 'node:crypto'
import type { Random } from '@forebay/broker'
import { hmacSha256 } from './hmac-sha256.ts'

/**
 * Task ids that certify themselves: an id holds what a gateway must know of a task that no store has heard of yet, and
 * a signature over that and the owner. So a guessed id, a damaged one and one of somebody else look alike: null.
 *
 * Text: 52 characters of base64url, 36 for the head, 16 for the signature. Head, 27 bytes, big-endian:
 *
 * | bytes | what |
 * |---|---|
 * | 1 | id of the signing key; the high bit is 0 (another layout would set it) |
 * | 6 | time of the acceptance, ms since 1970 |
 * | 4 | time from there to the deadline, seconds, rounded up |
 * | 4 | first bytes of SHA-256 of the queue's name |
 * | 2 | lane |
 * | 10 | random |
 *
 * Signature: the first 96 bits of HMAC-SHA256 over the head's text and the owner. 39 bytes fill the text without spare
 * bits, so one id has one spelling.
 */
export interface TaskIdParts {
  readonly id: string
  /** Wall time of the acceptance, ms since 1970. */
  readonly acceptedAtMs: number
  /** Wall time, rounded up to a coarse step: past it a task that never reached the log counts as expired. */
  readonly deadlineAtMs: number
  /** Empty when the configuration has this queue no more. */
  readonly queue: string
  readonly lane: number
}

export interface TaskIds {
  /** `lane` is below 65,536, `budgetMs` at most 136 years. */
  mint(task: TaskToName): string
  /** Null unless the text is an id that was given to this owner; safe with any text. */
  read(text: string, owner: string): TaskIdParts | null
}

export interface TaskToName {
  readonly owner: string
  readonly queue: string
  readonly lane: number
  readonly acceptedAtMs: number
  readonly budgetMs: number
}

export interface TaskIdKey {
  /** 0 to 127. */
  readonly id: number
  /** At most 64 bytes. */
  readonly secret: Uint8Array
}

/** The keys in use: ids of every known key are good, one key signs. */
export interface TaskIdKeys {
  signing(nowMs: number): TaskIdKey
  find(id: number): TaskIdKey | undefined
}

export const TASK_ID_CHARACTERS = 52
export const TASK_ID_KEYS_MAX = 128

/** Throws when two of the queues' names cannot be told apart by four bytes of their digests (one in billions). */
export function createTaskIds(keys: TaskIdKeys, queues: Iterable<string>, random: Random): TaskIds {
  const digests = new Map<string, number>()
  const names = new Map<number, string>()
  for (const queue of queues) {
    const digest = queueDigest(queue)
    const other = names.get(digest)
    if (other !== undefined && other !== queue) {
      throw new RangeError(`Queues "${other}" and "${queue}" have the same short digest; rename one of them.`)
    }
    digests.set(queue, digest)
    names.set(digest, queue)
  }
  const head = Buffer.alloc(HEAD_BYTES)
  const randomPart = head.subarray(RANDOM_AT)

  return {
    mint({ owner, queue, lane, acceptedAtMs, budgetMs }) {
      const key = keys.signing(acceptedAtMs)
      head[0] = key.id
      head.writeUIntBE(acceptedAtMs, TIME_AT, 6)
      head.writeUInt32BE(Math.ceil(budgetMs / DEADLINE_STEP_MS), DEADLINE_AT)
      head.writeUInt32BE(digests.get(queue) ?? queueDigest(queue), QUEUE_AT)
      head.writeUInt16BE(lane, LANE_AT)
      random.fill(randomPart)
      const text = head.toString('base64url')
      return text + signature(key, text, owner)
    },

    read(text, owner) {
      if (!SHAPE.test(text)) return null
      const headText = text.slice(0, HEAD_CHARACTERS)
      const bytes = Buffer.from(headText, 'base64url')
      const key = keys.find(bytes[0]!)
      if (key === undefined) return null
      const given = Buffer.from(text.slice(HEAD_CHARACTERS), 'latin1')
      const right = Buffer.from(signature(key, headText, owner), 'latin1')
      if (!timingSafeEqual(given, right)) return null
      const acceptedAtMs = bytes.readUIntBE(TIME_AT, 6)
      return {
        id: text,
        acceptedAtMs,
        deadlineAtMs: acceptedAtMs + bytes.readUInt32BE(DEADLINE_AT) * DEADLINE_STEP_MS,
        queue: names.get(bytes.readUInt32BE(QUEUE_AT)) ?? '',
        lane: bytes.readUInt16BE(LANE_AT),
      }
    },
  }
}

const TIME_AT = 1
const DEADLINE_AT = 7
const QUEUE_AT = 11
const LANE_AT = 15
const RANDOM_AT = 17
const HEAD_BYTES = 27
const HEAD_CHARACTERS = 36
const SIGNATURE_CHARACTERS = TASK_ID_CHARACTERS - HEAD_CHARACTERS
const DEADLINE_STEP_MS = 1_000
const SHAPE = /^[\w-]{52}$/

/** The head has a fixed length, so head and owner cannot be cut in two ways. */
function signature(key: TaskIdKey, head: string, owner: string): string {
  return hmacSha256(key.secret, head + owner).slice(0, SIGNATURE_CHARACTERS)
}

function queueDigest(queue: string): number {
  return hash('sha256', queue, 'buffer').readUInt32BE(0)
}
