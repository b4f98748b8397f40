export interface SseEvent {
  readonly event: string
  /** '' where it has none. */
  readonly id: string
  readonly data: Readonly<Record<string, unknown>>
}

/** One connection to `/v1/tasks/{id}/events`, read as the standard has it. */
export class SseReader {
  readonly response: Response
  /** What came that is no event: 'retry: 1000', ':'. */
  readonly lines: string[] = []
  readonly #aborter: AbortController
  readonly #body: ReadableStreamDefaultReader<Uint8Array>
  readonly #decoder = new TextDecoder()
  readonly #events: SseEvent[] = []
  #rest = ''

  static async open(url: string, headers: Record<string, string> = {}): Promise<SseReader> {
    const aborter = new AbortController()
    return new SseReader(await fetch(url, { headers, signal: aborter.signal }), aborter)
  }

  private constructor(response: Response, aborter: AbortController) {
    this.response = response
    this.#aborter = aborter
    this.#body = response.body!.getReader()
  }

  /** Null at the end of the stream. */
  async next(): Promise<SseEvent | null> {
    while (this.#events.length === 0) if (!(await this.#read())) return null
    return this.#events.shift()!
  }

  /** Until the end of the stream, or until one of these has come. */
  async until(event: string | null): Promise<SseEvent[]> {
    const events: SseEvent[] = []
    for (let one = await this.next(); one !== null; one = await this.next()) {
      events.push(one)
      if (one.event === event) break
    }
    return events
  }

  /** Resolves when something came that is no event. */
  async line(text: string): Promise<void> {
    while (!this.lines.includes(text)) if (!(await this.#read())) throw new Error(`ended without ${text}`)
  }

  close(): void {
    this.#aborter.abort()
  }

  async #read(): Promise<boolean> {
    const { done, value } = await this.#body.read()
    if (done) return false
    this.#rest += this.#decoder.decode(value, { stream: true })
    const blocks = this.#rest.split('\n\n')
    this.#rest = blocks.pop()!
    for (const block of blocks) this.#take(block)
    return true
  }

  #take(block: string): void {
    const fields = new Map<string, string>()
    for (const line of block.split('\n')) {
      const at = line.indexOf(': ')
      if (at > 0) fields.set(line.slice(0, at), line.slice(at + 2))
    }
    const data = fields.get('data')
    if (data === undefined) this.lines.push(block)
    else this.#events.push({ event: fields.get('event')!, id: fields.get('id') ?? '', data: JSON.parse(data) })
  }
}
