import type { RouteOptions } from '../options.ts'
import { type Field, leaf, quote } from './field.ts'

/** 'POST /orders/{customer}'. */
export const routeField: Field<string, RouteOptions | null> = leaf<string, RouteOptions | null>({
  about:
    "A route of its own, 'METHOD /path' with POST or PUT; {name} stands for one segment of the path. It stands beside " +
    'POST /v1/queues/{queue}/tasks. Default: none.',
  schema: { type: 'string', pattern: '^(POST|PUT) /' },
  absent: null,
  parse(given, place) {
    const [, method, path] = /^(\S+) +(\/\S*)$/.exec(typeof given === 'string' ? given.trim() : '') ?? []
    if (method === undefined || path === undefined) {
      return place.refuse(given, `${quote(given)} is not a route.`, "Write 'POST /orders/{customer}'.")
    }
    if (method !== 'POST' && method !== 'PUT') {
      return place.refuse(given, `${method} cannot hand in a task.`, `Write 'POST ${path}' or 'PUT ${path}'.`)
    }
    const segments = path.slice(1).split('/')
    const wrong = segments.find((segment) => !SEGMENT.test(segment))
    if (wrong !== undefined) {
      const fix = 'Use letters, digits, - _ . ~ or a {name} between slashes, and no slash at the end.'
      return place.refuse(given, `The segment ${quote(wrong)} of ${quote(path)} cannot be used in a route.`, fix)
    }
    if (RESERVED.has(segments[0]!)) {
      return place.refuse(given, `/${segments[0]} is Forebay's own.`, 'Begin the path with another word.')
    }
    const parameters = segments.filter((segment) => segment.startsWith('{')).map((segment) => segment.slice(1, -1))
    const twice = parameters.find((name, index) => parameters.indexOf(name) !== index)
    if (twice !== undefined) {
      return place.refuse(given, `{${twice}} stands twice in ${quote(path)}.`, 'Give each segment a name of its own.')
    }
    return { method, path, parameters }
  },
})

/** Routes of one shape catch the same requests, whatever their parameters are called. */
export function routeShape(route: RouteOptions): string {
  return `${route.method} ${route.path.replace(/\{[^}]*\}/g, '{}')}`
}

const SEGMENT = /^([A-Za-z0-9._~-]+|\{[A-Za-z][A-Za-z0-9_]*\})$/
const RESERVED: ReadonlySet<string> = new Set(['v1', 'livez', 'readyz', 'metrics', 'openapi.json', 'docs'])
