import { hash } from 'node:crypto'

/**
 * HMAC-SHA256 (RFC 2104) of a short text, as base64url; the key has at most 64 bytes. Made of two one-shot digests:
 * an object of `createHmac` for each id costs several times as much, most of it to the garbage collector.
 */
export function hmacSha256(key: Uint8Array, text: string): string {
  const { inner, outer } = padsOf(key)
  let block = innerBlock
  const bytesMax = BLOCK_BYTES + 3 * text.length
  if (bytesMax > block.length) block = Buffer.alloc(bytesMax)
  block.set(inner)
  const length = BLOCK_BYTES + block.write(text, BLOCK_BYTES)
  outerBlock.set(outer)
  outerBlock.write(hash('sha256', block.subarray(0, length), 'latin1'), BLOCK_BYTES, 'latin1')
  return hash('sha256', outerBlock, 'base64url')
}

const BLOCK_BYTES = 64
const DIGEST_BYTES = 32
const innerBlock = Buffer.alloc(1_024)
const outerBlock = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES)

interface Pads {
  readonly inner: Buffer
  readonly outer: Buffer
}

const pads = new WeakMap<Uint8Array, Pads>()

function padsOf(key: Uint8Array): Pads {
  let known = pads.get(key)
  if (known === undefined) {
    if (key.length > BLOCK_BYTES)
      throw new RangeError(`The key has ${key.length} bytes; at most ${BLOCK_BYTES} are taken.`)
    known = { inner: pad(key, 0x36), outer: pad(key, 0x5c) }
    pads.set(key, known)
  }
  return known
}

function pad(key: Uint8Array, filler: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES, filler)
  for (const [at, byte] of key.entries()) block[at] = byte ^ filler
  return block
}
