import type { Json } from './json.ts'
import type { ShownOperation } from './shown-operation.ts'

/** A line for a shell that does what an operation says; `$TASK` stands for a task's id, `$FOREBAY_KEY` for an access key. */
export function curlLine(operation: ShownOperation, base: string): string {
  const { method, path, parameters, body, needsKey } = operation
  const target = path.replace(/\{(\w+)\}/g, (_, name: string) => encodedValue(name, parameters))
  const parts = [
    `curl -i${method === 'GET' ? '' : ` -X ${method}`} ${doubleQuoted(`${base}${target}`)}`,
    ...(needsKey ? ['-H "Authorization: Bearer $FOREBAY_KEY"'] : []),
    ...parameters
      .filter((parameter) => parameter.in === 'header' && (parameter.required || parameter.example !== undefined))
      .map((parameter) => `-H ${singleQuoted(`${parameter.name}: ${headerValue(parameter, operation.id)}`)}`),
    ...(body === null
      ? []
      : [`-H ${singleQuoted(`Content-Type: ${body.type}`)}`, `--data-binary ${singleQuoted(dataOf(body))}`]),
  ]
  return parts.join(' \\\n  ')
}

/** Of a task the reader has the id; all else is made up. */
function encodedValue(name: string, parameters: readonly Json[]): string {
  const parameter = parameters.find((one) => one.in === 'path' && one.name === name)
  if (name === 'id' || name === 'task') return '$TASK'
  return encodeURIComponent(parameter === undefined ? name : writtenValue(parameter))
}

/** A key of one request must not be that of another. */
function headerValue(parameter: Json, operationId: string): string {
  return parameter.name === 'Idempotency-Key' ? `${operationId}-1` : writtenValue(parameter)
}

function writtenValue(parameter: Json): string {
  const schema = (parameter.schema ?? {}) as Json
  const examples = Array.isArray(schema.examples) ? schema.examples : []
  return String(
    parameter.example ??
      schema.const ??
      examples[0] ??
      schema.default ??
      (schema.type === 'integer' ? 0 : parameter.name),
  )
}

function dataOf({ example }: { readonly example: unknown }): string {
  return example === undefined ? '@body' : JSON.stringify(example)
}

function singleQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** `$TASK` stays a variable; paths and hosts that were checked hold nothing else that a shell looks at. */
function doubleQuoted(text: string): string {
  return `"${text.replace(/["\\`]/g, '\\$&')}"`
}
