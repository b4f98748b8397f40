import type pg from 'pg'

/** Numbers as numbers where they fit, times as ISO 8601, documents as documents, the rest as the server writes it. */
export function typesOf({ types }: typeof pg): pg.CustomTypesConfig {
  const { builtins } = types
  const integer = (text: string) => (Number.isSafeInteger(Number(text)) ? Number(text) : text)
  const number = (text: string) => (Number.isFinite(Number(text)) ? Number(text) : text)
  const time = (text: string) => text.replace(/^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:\+00)?$/, '$1T$2Z')
  const asText = (text: string) => text
  const parsers = new Map<number, (text: string) => unknown>([
    ...[builtins.INT2, builtins.INT4, builtins.INT8].map((id) => [id, integer] as const),
    ...[builtins.FLOAT4, builtins.FLOAT8, builtins.NUMERIC].map((id) => [id, number] as const),
    ...[builtins.TIMESTAMP, builtins.TIMESTAMPTZ].map((id) => [id, time] as const),
    ...[builtins.DATE, builtins.INTERVAL, builtins.BYTEA, POINT, CIRCLE].map((id) => [id, asText] as const),
  ])
  return { getTypeParser: (id: number) => parsers.get(id) ?? types.getTypeParser(id, 'text') } as pg.CustomTypesConfig
}

const POINT = 600
const CIRCLE = 718
