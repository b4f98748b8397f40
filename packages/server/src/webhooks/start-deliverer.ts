import { rootCertificates } from 'node:tls'
import type { Clock, Random } from '@forebay/broker'
import type { Doors } from '../accept/doors.ts'
import type { Recorder } from '../finish/recorder.ts'
import type { ServerOptions } from '../options.ts'
import type { Store } from '../store/store.ts'
import type { Telemetry } from '../telemetry.ts'
import { allowedTargets } from './allowed-targets.ts'
import { createDeliverer, type Deliverer } from './deliverer.ts'
import { createLookUp } from './look-up.ts'
import { createSend } from './send.ts'

export interface DelivererPlace {
  readonly options: Pick<ServerOptions, 'webhooks' | 'instance'>
  readonly store: Store
  readonly doors: Pick<Doors, 'callbacks' | 'readTask'>
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
  readonly telemetry: Telemetry
}

/** Null where nobody is ever called: no store for callbacks, or nothing to sign calls with. */
export function startDeliverer(place: DelivererPlace): Deliverer | null {
  const { options, store, doors, recorder, clock, random, telemetry } = place
  const { webhooks, instance } = options
  const { callbacks } = store
  if (callbacks === null || (webhooks.secrets.length === 0 && webhooks.principals.size === 0)) return null
  const send = createSend({
    lookUp: createLookUp(webhooks.dns),
    allowed: allowedTargets(webhooks.allow),
    ca: webhooks.ca === null ? null : [...rootCertificates, webhooks.ca],
    timeoutMs: webhooks.timeoutMs,
    clock,
  })
  const taker = `${instance}/${Math.floor(random.unit() * 2 ** 48).toString(36)}`
  const { readTask } = doors
  const deliverer = createDeliverer({ callbacks, options: webhooks, readTask, send, taker, clock, random, telemetry })
  doors.callbacks.onRegistered = (taskId, mayHaveEnded) => deliverer.expect(taskId, mayHaveEnded)
  const { onStored } = recorder
  recorder.onStored = (entry) => {
    onStored(entry)
    if (entry.kind === 'result') deliverer.ended(entry.result.taskId)
  }
  deliverer.start()
  return deliverer
}
