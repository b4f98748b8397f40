import { ForebayError } from '@forebay/protocol'
import type { DeadPartition } from './scan.ts'

/** Names a letter: 'orders/3/17' in print. */
export interface LetterPlace {
  readonly queue: string
  readonly partition: number
  readonly offset: number
}

export function formatPlace({ queue, partition, offset }: LetterPlace): string {
  return `${queue}/${partition}/${offset}`
}

/** Null for anything else. */
export function parsePlace(text: string): LetterPlace | null {
  const match = /^([^/]+)\/(\d{1,9})\/(\d{1,15})$/.exec(text)
  return match === null ? null : { queue: match[1]!, partition: Number(match[2]), offset: Number(match[3]) }
}

export function holds({ queue, partition, start, end }: DeadPartition, place: LetterPlace): boolean {
  return queue.name === place.queue && partition === place.partition && place.offset >= start && place.offset < end
}

export function letterNotFound(place: LetterPlace): ForebayError {
  const letter = formatPlace(place)
  return new ForebayError('DEAD_LETTER_NOT_FOUND', `There is no dead letter ${letter}; the list names them.`, {
    members: { letter },
  })
}
