/** Bytes of many rows as one value, which travels as it is; an array of them would travel as text twice as long. */
export class PackedBytes {
  readonly #parts: Uint8Array[] = []
  #bytes = 0

  /** Where the part begins, counted from 1. */
  add(part: Uint8Array): number {
    const start = this.#bytes + 1
    this.#parts.push(part)
    this.#bytes += part.length
    return start
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts, this.#bytes)
  }
}

/** PostgreSQL's texts hold every character but this one. */
export function text(value: string): string {
  return value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value
}

export function textOrNull(value: string | null): string | null {
  return value === null ? null : text(value)
}

/** A count that fits PostgreSQL's integer. */
export function count(value: number): number {
  return Math.min(value, 0x7fff_ffff)
}

/** A duration that, from now on, leads to a moment that a number still holds exactly. */
export function wholeMs(durationMs: number): number {
  return Math.min(Math.ceil(durationMs), DURATION_MAX_MS)
}

const DURATION_MAX_MS = 8.9e15
