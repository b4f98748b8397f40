import { ANY_TYPE, type Json } from './json.ts'

/** An operation of a document with its references followed, as the page shows it. */
export interface ShownOperation {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly tag: string
  readonly summary: string
  readonly description: string
  readonly parameters: readonly Json[]
  readonly body: {
    readonly type: string
    readonly schema: Json
    readonly required: boolean
    readonly example: unknown
  } | null
  readonly answers: readonly {
    readonly status: string
    readonly description: string
    readonly types: readonly string[]
  }[]
  readonly needsKey: boolean
}

export function shownOperations(document: Json): ShownOperation[] {
  const paths = document.paths as Record<string, Record<string, Json>>
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => shown(document, method.toUpperCase(), path, operation)),
  )
}

/** What `#/components/…` names, or the part itself. */
export function followed(document: Json, part: Json): Json {
  if (typeof part.$ref !== 'string') return part
  const steps = part.$ref.slice('#/'.length).split('/')
  return steps.reduce<Json>((inner, step) => inner[step] as Json, document)
}

function shown(document: Json, method: string, path: string, operation: Json): ShownOperation {
  const security = (operation.security ?? document.security ?? []) as readonly Json[]
  const responses = operation.responses as Record<string, Json>
  return {
    id: String(operation.operationId),
    method,
    path,
    tag: String((operation.tags as readonly string[])[0]),
    summary: String(operation.summary),
    description: String(operation.description ?? ''),
    parameters: ((operation.parameters ?? []) as readonly Json[]).map((parameter) => followed(document, parameter)),
    body: bodyOf(operation.requestBody as Json | undefined),
    answers: Object.entries(responses).map(([status, answer]) => {
      const types = Object.keys((answer.content ?? {}) as Json)
      return { status, description: String(answer.description), types }
    }),
    needsKey: security.length > 0,
  }
}

/** Where any type goes, JSON is what is shown. */
function bodyOf(body: Json | undefined): ShownOperation['body'] {
  if (body === undefined) return null
  const content = body.content as Record<string, Json>
  const [type, part] =
    content[ANY_TYPE] === undefined ? Object.entries(content)[0]! : ['application/json', content[ANY_TYPE]]
  return { type, schema: (part.schema ?? {}) as Json, required: body.required === true, example: part.example }
}
