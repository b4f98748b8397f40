/** Who may call: a name and the SHA-256 of its key. The key itself is never kept. */
export interface AccessKey {
  readonly principal: string
  /** 64 hex digits. */
  readonly sha256: string
}

/** The principal of everybody while no keys are configured. */
export const ANONYMOUS = 'anonymous'
