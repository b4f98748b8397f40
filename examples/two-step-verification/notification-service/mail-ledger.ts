import type { EventIdentity } from '@forebay/events'

/**
 * What became of the mail of each event. A mail cannot be taken back by a rollback, so there are two transactions: the first
 * claims the event by the inbox and writes a row 'sending', the second says how it ended. A crash between the two leaves
 * 'sending', and the mail goes out again, with the same Message-ID.
 */
export interface MailLedger {
  /** How it stands; of an event that is new a row 'sending', by the inbox. */
  begin(event: EventIdentity, mail: { readonly messageId: string; readonly kind: string }): Promise<MailState>
  end(event: EventIdentity, state: MailState, answer: string): Promise<void>
  /**
   * Keeps others, in whatever process, from the mail of this event until it is let go; null where another has it. It
   * ends with the process that holds it, so nobody waits for the dead.
   */
  hold(event: EventIdentity): Promise<Hold | null>
  /** Forgets what ended longer ago. */
  sweep(retentionMs: number): Promise<void>
  close(): Promise<void>
}

export interface Hold {
  release(): Promise<void>
}

export type MailState =
  /** Perhaps sent: it goes out again. */
  | 'sending'
  /** The SMTP server has it. */
  | 'sent'
  /** The SMTP server will not have it. A redelivery (redrive) tries again. */
  | 'refused'
  /** Its code was too old to be of use. */
  | 'expired'

export const GROUP = 'notification-service'

/** Of what this process holds. */
export class HeldHere {
  readonly #held = new Set<string>()

  take({ source, id }: EventIdentity): boolean {
    const name = `${source}\n${id}`
    if (this.#held.has(name)) return false
    this.#held.add(name)
    return true
  }

  release({ source, id }: EventIdentity): void {
    this.#held.delete(`${source}\n${id}`)
  }
}
