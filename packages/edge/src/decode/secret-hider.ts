import { REDACTED, type Redaction } from './redaction.ts'

/**
 * Takes secrets out of lines that could not be read. Nobody knows what such a line is, so it is searched for what secrets look
 * like: `token=…` of a query, `"cookie":"…"`, `Authorization: …`, `Bearer …`, the user of a URL. It rather hides too much than
 * too little, and looks at bytes below 128 only, so that UTF-8, Latin-1 and what is neither are alike to it. What it cannot see:
 * a secret whose name is missing, as the line lost its begin, and what is encoded (UTF-16, base64, packed).
 */
export class SecretHider {
  readonly #redaction: Redaction
  /** End of the piece before. */
  #before = ''
  /** What was being hidden at that end. A line of which we never saw the begin may begin anywhere. */
  #open: readonly Until[] = [STRING_END]

  constructor(redaction: Redaction) {
    this.#redaction = redaction
  }

  /** Null when there is nothing to hide. `continues`: the bytes go on with those of the call before. */
  hide(bytes: Buffer, continues: boolean): Buffer | null {
    if (!continues) {
      this.#before = ''
      this.#open = []
    }
    const search = new Search(this.#before + bytes.toString('latin1'), this.#before.length)
    for (const until of this.#open) search.hide(search.begin, until)
    this.#pairs(search)
    if (this.#redaction.hides('authorization')) search.hideAfter(SCHEME, WORD_END)
    search.hideAll(USER_IN_URL, () => REDACTED)
    if (!this.#redaction.keepsClient) search.hideAll(ADDRESS, (address) => this.#redaction.client(address))
    this.#open = search.open
    this.#before = search.text.slice(-CONTEXT_CHARACTERS)
    return search.shown()
  }

  /** A value may be a name as well (`to=token=…`), so the search goes on right after each name. */
  #pairs(search: Search): void {
    for (const match of search.text.matchAll(NAME)) {
      const [whole, letter = '', name, quote, gap, separator] = match as unknown as NameMatch
      const hides = (one: string) =>
        this.#redaction.hides(one) || (separator !== ':' && this.#redaction.hidesParameter(one))
      // `\token` and a tab before `oken` look the same.
      if (!hides(name) && !(letter !== '' && hides(letter + name))) continue
      const from = match.index + whole.length + quote.length + gap.length
      const value = valueAt(search.text, from, separator, quote !== '')
      if (value !== null) search.hide(value.from, value.until)
    }
  }
}

/** One text that is searched; `begin` is where the new part of it begins. */
class Search {
  readonly text: string
  readonly begin: number
  /** In any order, some within others: each is found by itself, whatever stands around it. */
  readonly #hidden: Hidden[] = []
  readonly #ends = new Map<Until, number>()
  readonly #open = new Set<Until>()

  constructor(text: string, begin: number) {
    this.text = text
    this.begin = begin
  }

  /** What is hidden to the end, and perhaps beyond. */
  get open(): readonly Until[] {
    return [...this.#open]
  }

  hide(from: number, until: Until): void {
    if (from >= this.text.length) return
    // Values that begin within one of their kind end with it, so that no line costs more than its length.
    let end = this.#ends.get(until) ?? -1
    if (end < from) {
      until.lastIndex = from
      end = until.exec(this.text)?.index ?? this.text.length
      this.#ends.set(until, end)
    }
    if (end === this.text.length) this.#open.add(until)
    this.#push(from, end, REDACTED)
  }

  hideAfter(what: RegExp, until: Until): void {
    for (const { index, 0: found } of this.text.matchAll(what)) this.hide(index + found.length, until)
  }

  hideAll(what: RegExp, shown: (found: string) => string): void {
    for (const { index, 0: found } of this.text.matchAll(what)) this.#push(index, index + found.length, shown(found))
  }

  /** The new part; null when nothing of it is hidden. */
  shown(): Buffer | null {
    const parts: string[] = []
    let at = this.begin
    const inOrder = this.#hidden.sort((one, other) => one.from - other.from || other.end - one.end)
    for (let index = 0; index < inOrder.length; ) {
      const first = inOrder[index]!
      let { end, shown } = first
      for (index++; index < inOrder.length && inOrder[index]!.from < end; index++) {
        if (inOrder[index]!.end > end) shown = REDACTED
        end = Math.max(end, inOrder[index]!.end)
      }
      parts.push(this.text.slice(at, first.from), shown)
      at = end
    }
    if (parts.length === 0) return null
    return Buffer.from(parts.join('') + this.text.slice(at), 'latin1')
  }

  #push(from: number, end: number, shown: string): void {
    const first = Math.max(from, this.begin)
    // What was hidden before stays as it is.
    if (end > first && this.text.slice(first, end) !== shown) this.#hidden.push({ from: first, end, shown })
  }
}

interface Hidden {
  readonly from: number
  readonly end: number
  readonly shown: string
}

/** Finds where a value ends; with the flag g. */
type Until = RegExp

type NameMatch = [
  whole: string,
  letter: string | undefined,
  name: string,
  quote: string,
  gap: string,
  separator: string,
]

/** Null where there is none. */
function valueAt(
  text: string,
  from: number,
  separator: string,
  isQuotedName: boolean,
): { from: number; until: Until } | null {
  OPENING.lastIndex = from
  const [opening, backslashes, quote] = OPENING.exec(text) ?? []
  if (opening === undefined) {
    if (separator === '=') return { from, until: PARAMETER_END }
    if (!isQuotedName) return { from, until: HEADER_END }
    return text.startsWith('null', from) || text.startsWith(REDACTED, from) ? null : { from, until: BARE_END }
  }
  if (quote !== undefined) return { from: from + opening.length, until: quotedEnd(quote, backslashes!.length) }
  if (opening.startsWith('\\')) return { from: from + opening.length, until: HEX_QUOTE_END }
  // Where a document ends is not to be known in a line that is broken.
  return { from, until: separator === '=' ? PARAMETER_END : NEVER }
}

/** JSON within JSON has a backslash before each quote. */
const BACKSLASHES_MAX = 15
const QUOTE = `\\\\{0,${BACKSLASHES_MAX}}["']|\\\\x2[27]`
/** A name, perhaps behind an escape that ends in letters, and what makes it one: a quote or none, then `=`, `:` or `=>`. */
const NAME = new RegExp(
  `(?:\\\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|([nrtbf]))|(?<![\\w%.-]))([\\w%.-]{1,128})(?=(${QUOTE}|)([ \\t]{0,8}(=>|[=:])[ \\t]{0,8}))`,
  'g',
)
const OPENING = new RegExp(`(\\\\{0,${BACKSLASHES_MAX}})(["'])|\\\\x2[27]|\\{|\\[(?!redacted\\])`, 'y')
const SCHEME = /(?<![A-Za-z])(?:bearer|basic)(?:[ \t+]|%20){1,8}/gi
/** Up to where a line was cut, too: an `@` may have followed. */
const USER_IN_URL = /(?<=:\\?\/\\?\/)(?:[^/@ "?#]{1,256}(?=@)|[^/@ "?#:]{0,256}:[^/@ "?#]{1,256}$)/g
const ADDRESS =
  /(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|(?<![\w:])(?=[\da-f:]*::|(?:[\da-f]{1,4}:){7})[\da-f:]{3,45}(?![\w:])/gi

const STRING_END = /(?<!\\)"/g
// [^ -ÿ] is a control character; \s would be half of a letter in UTF-8 too.
const PARAMETER_END = /(?<!\\)"|[& ]|[^ -\xff]/g
const BARE_END = /[,\]}&" ]|[^ -\xff]/g
const HEADER_END = /(?<!\\)"|(?!\t)[^ -\xff]|\\(?:[nr]|u00|x0)/g
const HEX_QUOTE_END = /\\x2[27]|"/g
const WORD_END = /[^\w.~+/=%-]/g
const NEVER = /(?!)/g

const QUOTED_ENDS = new Map<string, Until>()

/** As many backslashes as before the quote that opened it, or fewer: more belong to the value. */
function quotedEnd(quote: string, backslashes: number): Until {
  const name = `${backslashes}${quote}`
  const until = QUOTED_ENDS.get(name) ?? new RegExp(`(?<!\\\\)\\\\{0,${backslashes}}${quote}`, 'g')
  QUOTED_ENDS.set(name, until)
  return until
}

/** Of the piece before, so that a name is seen that was cut in two. */
const CONTEXT_CHARACTERS = 256
