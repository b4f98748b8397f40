/** One event of a `text/event-stream`, or what the stream says about itself. */
export interface SseFrame {
  /** '' where the event has no name. */
  readonly event: string
  /** Null where the event has no place of its own. */
  readonly id: string | null
  /** Null where nothing but `retry` was said. */
  readonly data: string | null
  /** How long to wait before coming back. ms */
  readonly retryMs: number | null
}

/** Longest event; the gateway's own are far below. characters */
export const FRAME_CHARACTERS_MAX = 8 * 1024 * 1024

/** Takes a stream apart, whatever the pieces that it comes in. */
export class SseFrames {
  readonly #decoder = new TextDecoder()
  #text = ''
  /** So far no line ends in it. */
  #scanned = 0
  #event = ''
  #id: string | null = null
  #data: string[] = []
  #retryMs: number | null = null

  /** The events that are whole now. Throws a RangeError when one is longer than may be. */
  push(bytes: Uint8Array): SseFrame[] {
    this.#text += this.#decoder.decode(bytes, { stream: true })
    if (this.#text.length > FRAME_CHARACTERS_MAX) throw new RangeError('an event is longer than any of a gateway')
    const frames: SseFrame[] = []
    const text = this.#text
    let begin = 0
    let at = this.#scanned
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code !== CR && code !== LF) continue
      // It may be half a line end: that shows when more has come.
      if (code === CR && at + 1 === text.length) break
      const frame = this.#line(text.slice(begin, at))
      if (frame !== null) frames.push(frame)
      if (code === CR && text.charCodeAt(at + 1) === LF) at++
      begin = at + 1
    }
    this.#text = text.slice(begin)
    this.#scanned = at - begin
    return frames
  }

  #line(line: string): SseFrame | null {
    if (line === '') return this.#end()
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'event') this.#event = value
    else if (name === 'data') this.#data.push(value)
    else if (name === 'id') this.#id = value
    else if (name === 'retry' && /^\d{1,9}$/.test(value)) this.#retryMs = Number(value)
    return null
  }

  #end(): SseFrame | null {
    const data = this.#data.length === 0 ? null : this.#data.join('\n')
    const frame = { event: this.#event, id: this.#id, data, retryMs: this.#retryMs }
    this.#event = ''
    this.#id = null
    this.#data = []
    this.#retryMs = null
    return frame.data === null && frame.retryMs === null ? null : frame
  }
}

const CR = 0x0d
const LF = 0x0a
