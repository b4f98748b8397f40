import type {
  CallbackConclusion,
  CallbackFilter,
  Callbacks,
  CallbackToRegister,
  CallbackView,
  DueCallback,
  TakeCallbacks,
} from '../callbacks.ts'
import type { CallbackAct, CallbackAnswer } from './callback-calls.ts'
import type { RunningStore } from './embedded.ts'

/** Callbacks in the store's file; what is written shares the flushes of everything else. */
export class EmbeddedCallbacks implements Callbacks {
  /** Throws CLOSED. */
  readonly #opened: () => RunningStore

  constructor(opened: () => RunningStore) {
    this.#opened = opened
  }

  async register(callback: CallbackToRegister): Promise<'registered' | 'known' | 'full' | 'disabled'> {
    return (await this.#act({ act: 'register', callback }, 'registered')).outcome
  }

  async forget(taskId: string): Promise<void> {
    await this.#act({ act: 'forget', taskId }, 'forgotten')
  }

  async take(request: TakeCallbacks): Promise<readonly DueCallback[]> {
    return (await this.#act({ act: 'take', request }, 'taken')).rows
  }

  async conclude(conclusion: CallbackConclusion): Promise<boolean> {
    return (await this.#act({ act: 'conclude', conclusion }, 'concluded')).held
  }

  async nextDueMs(): Promise<number | null> {
    const { thread, clock } = this.#opened()
    return thread.call('nextCallback', { nowMs: clock.nowMs() })
  }

  async list(filter: CallbackFilter): Promise<readonly CallbackView[]> {
    return this.#opened().thread.call('listCallbacks', filter)
  }

  async replay(filter: CallbackFilter): Promise<number> {
    return (await this.#act({ act: 'replay', filter }, 'replayed')).count
  }

  async enable(owner: string, url: string): Promise<boolean> {
    return (await this.#act({ act: 'enable', owner, url }, 'enabled')).enabled
  }

  async #act<Kind extends CallbackAnswer['kind']>(
    act: CallbackAct,
    kind: Kind,
  ): Promise<Extract<CallbackAnswer, { kind: Kind }>> {
    const answer = await this.#opened().writes.callbacks(act)
    if (answer.kind !== kind) throw new Error(`The store answered ${answer.kind} where ${kind} was asked for.`)
    return answer as Extract<CallbackAnswer, { kind: Kind }>
  }
}
