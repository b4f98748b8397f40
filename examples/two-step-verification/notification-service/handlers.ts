import type { Clock } from '@forebay/broker'
import { DeadError, type Event, type EventOf, type HandlerContext } from '@forebay/events'
import type { userAccountCreated, userAccountVerified, verificationCodeRenewed } from '../events.ts'
import { openCode, type SealedCode, type SealingKey } from '../sealed-code.ts'
import { codeMail, welcomeMail } from './mails.ts'
import { type MailOfEvent, type SendOnceParts, sendOnce } from './send-once.ts'

export interface HandlerParts extends SendOnceParts {
  readonly keys: readonly SealingKey[]
  readonly clock: Clock
}

type Context = Pick<HandlerContext, 'signal'>

/** Which mail belongs to which event. */
export function createHandlers({ keys, clock, ...parts }: HandlerParts) {
  const send = (event: Event, mail: MailOfEvent, { signal }: Context) => sendOnce(event, mail, parts, signal)
  const ofCode = ({ userId, email, firstName, code }: CodeData): MailOfEvent => ({
    kind: 'code',
    to: email,
    write() {
      const expiresAt = new Date(code.expiresAt)
      if (clock.wallMs() >= expiresAt.getTime()) return null
      return codeMail(firstName, open(code, userId, keys), expiresAt)
    },
  })
  return {
    user_account_created: (event: EventOf<typeof userAccountCreated>, context: Context) =>
      send(event, ofCode(event.data), context),
    verification_code_renewed: (event: EventOf<typeof verificationCodeRenewed>, context: Context) =>
      send(event, ofCode(event.data), context),
    user_account_verified: (event: EventOf<typeof userAccountVerified>, context: Context) => {
      const { email, firstName } = event.data
      return send(event, { kind: 'welcome', to: email, write: () => welcomeMail(firstName) }, context)
    },
  }
}

interface CodeData {
  readonly userId: string
  readonly email: string
  readonly firstName: string
  readonly code: SealedCode & { readonly expiresAt: string }
}

/** What does not open today may with a key that was forgotten here: a dead letter, to be redriven. */
function open(code: SealedCode, userId: string, keys: readonly SealingKey[]): string {
  try {
    return openCode(code, userId, keys)
  } catch (error) {
    throw new DeadError(`The code does not open: ${error instanceof Error ? error.message : error}`, { cause: error })
  }
}
