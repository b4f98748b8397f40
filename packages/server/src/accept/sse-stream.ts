import type { ServerResponse } from 'node:http'
import { HEARTBEAT, retryLine, type SseWords } from './sse-events.ts'
import { type Pulsed, type SsePulse, TICK_MS } from './sse-pulse.ts'
import type { OpenedWatch } from './watching.ts'

/** Silence after which a heartbeat is sent. ms */
export const SSE_HEARTBEAT_MS = 15_000
/** A reader who takes nothing for so long is cut off; it may come back to where it was. ms */
export const SSE_STUCK_MS = 30_000

/** What all streams of a door have in common. */
export interface SseCommon {
  readonly words: SseWords
  readonly pulse: SsePulse
  /** How long a reader waits who was sent away. ms */
  retryMs(): number
}

/**
 * One who follows a task by `text/event-stream`. Nothing more is asked of the watch until the socket has taken what was
 * written, so a slow reader holds what its socket holds, and one page.
 */
export class SseStream implements Pulsed {
  slot = 0
  readonly #common: SseCommon
  readonly #response: ServerResponse
  readonly #id: OpenedWatch['id']
  readonly #watch: NonNullable<OpenedWatch['watch']>
  /** The tick of the last write, or of the moment since which the reader has taken nothing. */
  #since: number
  #blocked: (() => void) | null = null
  #ended = false

  constructor(
    common: SseCommon,
    response: ServerResponse,
    id: OpenedWatch['id'],
    watch: NonNullable<OpenedWatch['watch']>,
  ) {
    this.#common = common
    this.#response = response
    this.#id = id
    this.#watch = watch
    this.#since = common.pulse.now
    response.on('close', () => this.#close())
    common.pulse.add(this, HEARTBEAT_TICKS)
    void this.#run()
  }

  /** Sends the reader away, to come back here or to another gateway. */
  end(): void {
    this.#finish(retryLine(this.#common.retryMs()))
  }

  pulse(): number {
    const passed = this.#common.pulse.now - this.#since
    if (this.#blocked !== null || this.#ended) {
      if (passed >= STUCK_TICKS) this.#response.destroy()
      return Math.max(1, STUCK_TICKS - passed)
    }
    if (passed < HEARTBEAT_TICKS) return HEARTBEAT_TICKS - passed
    this.#write(HEARTBEAT)
    return HEARTBEAT_TICKS
  }

  async #run(): Promise<void> {
    const { words } = this.#common
    try {
      for (;;) {
        const events = await this.#watch.next()
        if (events === null || this.#ended) break
        let text = ''
        for (const event of events) text += words.of(this.#id, event)
        if (events.at(-1)!.kind === 'end') return this.#finish(text)
        if (!this.#write(text)) await this.#drained()
      }
    } catch {
      // The store or the log is out of reach: another gateway may know more, and this one again soon.
    }
    this.end()
  }

  #write(text: string): boolean {
    this.#since = this.#common.pulse.now
    return this.#response.write(text)
  }

  #drained(): Promise<void> {
    if (this.#ended) return Promise.resolve()
    return new Promise((resolve) => {
      const goOn = () => {
        this.#blocked = null
        this.#since = this.#common.pulse.now
        this.#response.off('drain', goOn)
        resolve()
      }
      this.#blocked = goOn
      this.#response.on('drain', goOn)
    })
  }

  #finish(text: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#since = this.#common.pulse.now
    this.#watch.stop()
    this.#response.end(text)
    this.#blocked?.()
  }

  /** Answered whole, or cut. */
  #close(): void {
    this.#ended = true
    this.#common.pulse.remove(this)
    this.#watch.stop()
    this.#blocked?.()
  }
}

const HEARTBEAT_TICKS = SSE_HEARTBEAT_MS / TICK_MS
const STUCK_TICKS = SSE_STUCK_MS / TICK_MS
