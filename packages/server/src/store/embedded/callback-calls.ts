import type {
  CallbackConclusion,
  CallbackFilter,
  CallbackToRegister,
  DueCallback,
  TakeCallbacks,
} from '../callbacks.ts'

/** What is written about callbacks: acts of one transaction, in the order in which they were asked for. */
export type CallbackAct =
  | { readonly act: 'register'; readonly callback: CallbackToRegister }
  | { readonly act: 'forget'; readonly taskId: string }
  | { readonly act: 'take'; readonly request: TakeCallbacks }
  | { readonly act: 'conclude'; readonly conclusion: CallbackConclusion }
  | { readonly act: 'replay'; readonly filter: CallbackFilter }
  | { readonly act: 'enable'; readonly owner: string; readonly url: string }

export type CallbackAnswer =
  | { readonly kind: 'registered'; readonly outcome: 'registered' | 'known' | 'full' | 'disabled' }
  | { readonly kind: 'forgotten' }
  | { readonly kind: 'taken'; readonly rows: readonly DueCallback[] }
  | { readonly kind: 'concluded'; readonly held: boolean }
  | { readonly kind: 'replayed'; readonly count: number }
  | { readonly kind: 'enabled'; readonly enabled: boolean }
