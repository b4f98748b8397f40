/** First line of a request, as the client wrote it. */
export interface RequestLine {
  readonly method: string
  readonly path: string
  /** Without the question mark. */
  readonly query: string
  readonly protocol: string
}

/** What is no request line is kept as the path, so that it can be seen. */
export function readRequestLine(line: string): RequestLine {
  const [, method, target, protocol = ''] = /^([A-Z_-]+) (\S*)(?: (HTTP\/[\d.]+))?$/.exec(line) ?? []
  if (method === undefined || target === undefined) return { method: '', path: line, query: '', protocol }
  const mark = target.indexOf('?')
  const [path, query] = mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)]
  return { method, path, query, protocol }
}

/** The task that a path names: whether it exists is said by the status. '' where it names none. */
export function taskIn(path: string): string {
  return path.startsWith('/v1/tasks/') ? (/^\/v1\/tasks\/([\w-]{1,128})(?:\/|$)/.exec(path)?.[1] ?? '') : ''
}
