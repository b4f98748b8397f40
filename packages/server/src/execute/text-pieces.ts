/** What a target streams as text, in pieces; fed as it comes. */
export interface TextPieces {
  /** Media type of each piece. */
  readonly contentType: string
  /** Pieces that are whole by now. */
  push(text: string): readonly string[]
  /** What is left where the text ends. */
  end(): readonly string[]
  /** Characters of what is not whole yet. */
  readonly openChars: number
}

/** For `application/x-ndjson` and `text/event-stream`; null for what has no pieces. */
export function piecesOf(essence: string): TextPieces | null {
  if (essence === 'application/x-ndjson') return new JsonLines()
  return essence === 'text/event-stream' ? new EventData() : null
}

/** Each line that is not empty. */
class JsonLines implements TextPieces {
  readonly contentType = 'application/json'
  readonly #lines = new Lines()

  get openChars(): number {
    return this.#lines.openChars
  }

  push(text: string): readonly string[] {
    return this.#lines.push(text).filter(isNotBlank)
  }

  end(): readonly string[] {
    return this.#lines.end().filter(isNotBlank)
  }
}

/** The data of each event, as a browser's EventSource would give it; an event that is cut off is none. */
class EventData implements TextPieces {
  readonly contentType = 'text/plain; charset=utf-8'
  readonly #lines = new Lines()
  #data: string[] = []
  #dataChars = 0

  get openChars(): number {
    return this.#lines.openChars + this.#dataChars
  }

  push(text: string): readonly string[] {
    return this.#lines.push(text).flatMap((line) => this.#take(line))
  }

  end(): readonly string[] {
    return []
  }

  #take(line: string): string[] {
    if (line === '' && this.#data.length > 0) {
      const piece = this.#data.join('\n')
      this.#data = []
      this.#dataChars = 0
      return [piece]
    }
    const data = line === 'data' ? '' : DATA.exec(line)?.[1]
    if (data !== undefined) {
      this.#data.push(data)
      this.#dataChars += data.length + 1
    }
    return []
  }
}

const DATA = /^data: ?(.*)$/s

/** Ended by LF, CR or both. */
class Lines {
  #open: string[] = []
  #afterCr = false
  openChars = 0

  push(text: string): string[] {
    if (text === '') return []
    // The second half of a line's end that was cut in two.
    const from = this.#afterCr && text.startsWith('\n') ? 1 : 0
    this.#afterCr = text.endsWith('\r')
    const lines = text.slice(from).split(LINE_END)
    const rest = lines.pop()!
    if (lines.length > 0) {
      lines[0] = this.#open.join('') + lines[0]
      this.#open = []
      this.openChars = 0
    }
    if (rest !== '') {
      this.#open.push(rest)
      this.openChars += rest.length
    }
    return lines
  }

  end(): string[] {
    return this.#open.length === 0 ? [] : [this.#open.join('')]
  }
}

const LINE_END = /\r\n|\n|\r/

function isNotBlank(line: string): boolean {
  return line.trim() !== ''
}
