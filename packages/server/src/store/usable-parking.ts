import type { Broker } from '@forebay/broker'
import type { Parking } from './parking.ts'
import type { Store } from './store.ts'

/**
 * The place of parked tasks, or null where it would not do: whichever dispatcher owns a partition must find what the
 * one before it has parked, so the store has to be common to all of them.
 */
export function usableParking(
  { parking, capabilities }: Pick<Store, 'parking' | 'capabilities'>,
  broker: Pick<Broker, 'capabilities'>,
): Parking | null {
  return capabilities.shared || !broker.capabilities.shared ? parking : null
}
