/** One log record of an OTLP request, with what the request says around it. */
export type OtlpRecord =
  | { readonly kind: 'record'; readonly record: OtlpFields; readonly around: OtlpAround }
  /** It could not be read, alone among the others. */
  | { readonly kind: 'odd'; readonly bytes: Buffer; readonly reason: 'not-utf8' | 'not-the-format' }

export interface OtlpFields {
  /** ns since 1970; 0 where it is not said. */
  timeNanos: bigint
  observedNanos: bigint
  severity: number
  severityText: string
  body: unknown
  event: string
  /** Hex. */
  trace: string
  span: string
  attributes: Record<string, unknown>
}

/** Resource and scope, read once for all their records. */
export interface OtlpAround {
  readonly resource: Readonly<Record<string, unknown>>
  readonly scope: string
}

/** The request as a whole makes no sense. */
export class OtlpMalformed extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'OtlpMalformed'
  }
}

export function emptyFields(): OtlpFields {
  return {
    ...{ timeNanos: 0n, observedNanos: 0n, severity: 0, severityText: '', body: '', event: '', trace: '', span: '' },
    attributes: attributesOf(),
  }
}

/** Names come from outside: none of them may be read as that of a prototype. */
export function attributesOf(): Record<string, unknown> {
  return Object.create(null) as Record<string, unknown>
}

/** A number where JSON keeps it exactly, else its digits. */
export function plainInteger(value: bigint): number | string {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value.toString()
}

/** JSON has no words for these. */
export function plainDouble(value: number): number | string {
  return Number.isFinite(value) ? value : String(value)
}

/** Values within values. */
export const VALUE_DEPTH_MAX = 32
