import type { Clock, Random } from '@forebay/broker'

/** A name that no other epoch has had, sorted by time: '19d3k2x8a-5f0c9a…'. */
export function newEpoch(clock: Pick<Clock, 'wallMs'>, random: Pick<Random, 'fill'>): string {
  const bytes = Buffer.alloc(EPOCH_RANDOM_BYTES)
  random.fill(bytes)
  return `${clock.wallMs().toString(36)}-${bytes.toString('hex')}`
}

const EPOCH_RANDOM_BYTES = 6
