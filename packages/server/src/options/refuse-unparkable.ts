import type { BrokerOptions, QueueOptions, StoreOptions } from '../options.ts'
import { type Place, quote } from './field.ts'

/** Whether tasks can be parked, and if not, why not and what to do about it. */
export type ParkingPlace =
  | { readonly there: true }
  | { readonly there: false; readonly why: string; readonly fix: string }

/** The same as a dispatcher finds at its start from what its broker and its store are capable of. */
export function parkingPlace(broker: BrokerOptions, store: StoreOptions): ParkingPlace {
  if (store.kind === 'postgres' || (store.kind === 'embedded' && broker.kind === 'embedded')) return { there: true }
  const fix = broker.kind === 'kafka' ? SHARED_FIX : `${SHARED_FIX.replace(/\.$/, '')}, or store: embedded.`
  if (store.kind === 'redis') return { there: false, why: 'Redis keeps no parked tasks.', fix }
  const why = 'With Kafka other dispatchers have to find what one has parked, and the embedded store is of one process.'
  return { there: false, why, fix }
}

const SHARED_FIX = 'Write store: postgres://user@host/database.'

/** Policies that need a place for parked tasks. */
export function refuseUnparkable(queue: QueueOptions, parking: ParkingPlace, place: Place): void {
  if (parking.there) return
  const { why, fix } = parking
  if (queue.onExhausted === 'park') {
    place.at('onExhausted').refuse('park', `Nothing can be parked here. ${why}`, fix)
  }
  const [first] = queue.schedule
  if (first !== undefined) {
    const message = `When ${quote(first.name)} fired last has to be kept where parked tasks are. ${why}`
    place.at('schedule').refuse(first.name, message, fix)
  }
}
