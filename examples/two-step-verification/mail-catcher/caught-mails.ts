export interface CaughtMail {
  /** Counts from 1. */
  readonly id: number
  readonly receivedAt: string
  readonly to: string
  readonly from: string
  readonly subject: string
  readonly messageId: string
  readonly traceparent: string
  readonly text: string
  readonly html: string
  /** False: the connection was cut before the answer, so the sender cannot know that the mail is here. */
  readonly isAnswered: boolean
}

/** The mails that came, in memory; past `mailsMax` the oldest are forgotten. */
export class CaughtMails {
  readonly #mailsMax: number
  readonly #mails = new Map<number, CaughtMail>()
  readonly #idsOf = new Map<string, number[]>()
  #lastId = 0

  constructor(mailsMax: number) {
    this.#mailsMax = mailsMax
  }

  add(mail: Omit<CaughtMail, 'id'>): void {
    const id = ++this.#lastId
    this.#mails.set(id, { ...mail, id })
    const ids = this.#idsOf.get(mail.to)
    if (ids === undefined) this.#idsOf.set(mail.to, [id])
    else ids.push(id)
    if (this.#mails.size > this.#mailsMax) this.#forgetOldest()
  }

  get(id: number): CaughtMail | undefined {
    return this.#mails.get(id)
  }

  get total(): number {
    return this.#lastId
  }

  /** To one address or to all, the oldest first, from after `after` on. */
  list({ to, after, limit }: { readonly to: string | null; readonly after: number; readonly limit: number }) {
    const ids = to === null ? this.#mails.keys() : (this.#idsOf.get(to) ?? []).values()
    return ids
      .filter((id) => id > after)
      .take(limit)
      .map((id) => this.#mails.get(id)!)
      .toArray()
  }

  #forgetOldest(): void {
    const [oldest] = this.#mails.values()
    if (oldest === undefined) return
    this.#mails.delete(oldest.id)
    const ids = this.#idsOf.get(oldest.to)
    ids?.shift()
    if (ids?.length === 0) this.#idsOf.delete(oldest.to)
  }
}
