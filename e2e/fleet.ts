import { type Forebay, type ForebayOptions, startForebay } from './forebay.ts'

/** Attempts enough for every fault; what a run judges is that nothing is lost, not that luck holds. */
export const PATIENT_RETRY = { attempts: 60, within: '30m', backoff: '200ms', backoffMax: '2s' }

/** Processes of Forebay on one configuration; they end with `started`. */
export interface Fleet {
  add(roles: readonly string[]): Promise<Forebay>
  /** What each of them printed last, for when a run fails. */
  output(): string
}

export function createFleet(started: AsyncDisposableStack, config: ForebayOptions['config']): Fleet {
  const members: Forebay[] = []
  return {
    async add(roles) {
      const forebay = started.use(await startForebay({ config, roles }))
      members.push(forebay)
      return forebay
    },
    output: () => members.map((one) => one.rig.output().slice(-OUTPUT_CHARS_SHOWN)).join('\n──\n'),
  }
}

const OUTPUT_CHARS_SHOWN = 4_000
