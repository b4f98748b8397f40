import { isUtf8 } from 'node:buffer'
import {
  attributesOf,
  type OtlpAround,
  OtlpMalformed,
  type OtlpRecord,
  plainDouble,
  plainInteger,
  VALUE_DEPTH_MAX,
} from './otlp-record.ts'

/** The same request as JSON: names in lowerCamelCase, ids in hex, 64-bit numbers as text or number. */
export function* readOtlpJson(bytes: Buffer): Generator<OtlpRecord> {
  const request = parsed(bytes)
  for (const resourceLogs of listOf(request.resourceLogs)) {
    const { resource, scopeLogs } = objectOf(resourceLogs)
    const attributes = attributesIn(objectOf(resource ?? {}).attributes, 0)
    for (const one of listOf(scopeLogs)) {
      const { scope, logRecords } = objectOf(one)
      const around = { resource: attributes, scope: textOf(objectOf(scope ?? {}).name) }
      for (const record of listOf(logRecords)) yield recordOf(record, around)
    }
  }
}

function recordOf(given: unknown, around: OtlpAround): OtlpRecord {
  try {
    const record = objectOf(given)
    return {
      kind: 'record',
      around,
      record: {
        timeNanos: integerOf(record.timeUnixNano ?? 0),
        observedNanos: integerOf(record.observedTimeUnixNano ?? 0),
        severity: Number(integerOf(record.severityNumber ?? 0)),
        severityText: textOf(record.severityText),
        body: plainValue(record.body ?? null, 0) ?? '',
        event: textOf(record.eventName),
        trace: textOf(record.traceId),
        span: textOf(record.spanId),
        attributes: attributesIn(record.attributes, 0),
      },
    }
  } catch (thrown) {
    if (!(thrown instanceof OtlpMalformed)) throw thrown
    return { kind: 'odd', bytes: Buffer.from(JSON.stringify(given) ?? ''), reason: 'not-the-format' }
  }
}

function attributesIn(given: unknown, depth: number): Record<string, unknown> {
  const attributes = attributesOf()
  for (const one of listOf(given)) {
    const { key, value } = objectOf(one)
    attributes[textOf(key)] = plainValue(value ?? null, depth)
  }
  return attributes
}

function plainValue(given: unknown, depth: number): unknown {
  if (given === null) return null
  if (depth > VALUE_DEPTH_MAX) throw new OtlpMalformed(`Values lie more than ${VALUE_DEPTH_MAX} deep.`)
  const value = objectOf(given)
  if (value.stringValue !== undefined) return textOf(value.stringValue)
  if (value.boolValue !== undefined) return value.boolValue === true
  if (value.intValue !== undefined) return plainInteger(integerOf(value.intValue))
  if (value.doubleValue !== undefined) return plainDouble(Number(value.doubleValue))
  if (value.bytesValue !== undefined) return textOf(value.bytesValue)
  if (value.arrayValue !== undefined) {
    return listOf(objectOf(value.arrayValue).values).map((one) => plainValue(one ?? null, depth + 1))
  }
  if (value.kvlistValue !== undefined) return attributesIn(objectOf(value.kvlistValue).values, depth + 1)
  return null
}

function parsed(bytes: Buffer): Record<string, unknown> {
  try {
    if (isUtf8(bytes)) return objectOf(JSON.parse(bytes.toString()))
  } catch (cause) {
    if (cause instanceof OtlpMalformed) throw cause
  }
  throw new OtlpMalformed('The body is no JSON in UTF-8.')
}

function objectOf(given: unknown): Record<string, unknown> {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return given as Record<string, unknown>
  throw new OtlpMalformed('The body is no ExportLogsServiceRequest: an object is missing.')
}

function listOf(given: unknown): readonly unknown[] {
  if (given === undefined || given === null) return []
  if (Array.isArray(given)) return given
  throw new OtlpMalformed('The body is no ExportLogsServiceRequest: a list is missing.')
}

function textOf(given: unknown): string {
  if (given === undefined || given === null) return ''
  if (typeof given === 'string') return given
  throw new OtlpMalformed('The body is no ExportLogsServiceRequest: a text is missing.')
}

function integerOf(given: unknown): bigint {
  if (typeof given === 'number' && Number.isFinite(given)) return BigInt(Math.trunc(given))
  if (typeof given === 'string' && /^-?\d{1,20}$/.test(given)) return BigInt(given)
  throw new OtlpMalformed('The body is no ExportLogsServiceRequest: a number is missing.')
}
