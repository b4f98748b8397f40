import { type Clock, systemClock } from '@forebay/broker'

/** The system's clock with its wall time set ahead. */
export function clockAhead(): Clock & { aheadMs: number } {
  return {
    ...systemClock,
    aheadMs: 0,
    wallMs() {
      return systemClock.wallMs() + this.aheadMs
    },
  }
}
