import type { Owned, Parking } from '../parking.ts'
import { row } from './parking-place.ts'

export const CHILD_QUEUE = 'crashing'
/** No more rows than this are parked at a time. */
export const CHILD_ROWS_MAX = 10

/** Parks a row at each position, takes it, and removes the one that is `CHILD_ROWS_MAX` steps older. */
export class ParkingChild {
  readonly #parking: Parking
  readonly #owned: Owned

  constructor(parking: Parking, owned: Owned) {
    this.#parking = parking
    this.#owned = owned
  }

  static async begin(parking: Parking): Promise<ParkingChild> {
    const { epoch } = await parking.own(CHILD_QUEUE, 0)
    return new ParkingChild(parking, { queue: CHILD_QUEUE, partition: 0, epoch })
  }

  async step(position: number): Promise<void> {
    const older = Array.from({ length: CHILD_ROWS_MAX }, (_, n) => position - 2 * (CHILD_ROWS_MAX + n))
    const removed = older.filter((offset) => offset >= 0)
    await Promise.all([
      this.#parking.park(this.#owned, [row(position)]),
      this.#parking.remove(this.#owned, removed),
      this.#parking.take(CHILD_QUEUE, [this.#owned], 1),
    ])
  }
}
