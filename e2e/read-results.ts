import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export interface SeenResult {
  readonly state: string
  readonly partition: number
  readonly offset: number
}

/** Every result of the results topic by task, in log order, as kcat reads it: a client nobody here wrote. */
export async function readResults(bootstrap: string): Promise<Map<string, SeenResult[]>> {
  const { stdout } = await promisify(execFile)(
    'kcat',
    ['-C', '-b', bootstrap, '-t', 'forebay.results', '-o', 'beginning', '-e', '-q', '-f', '%p %o %k %h\n'],
    { maxBuffer: 256 * 1024 * 1024 },
  )
  const seen = new Map<string, SeenResult[]>()
  for (const line of stdout.split('\n')) {
    const [partition, offset, id, headers] = line.split(' ')
    if (id === undefined || headers === undefined || !headers.includes('fb-kind=result')) continue
    const state = /fb-state=([a-z]+)/.exec(headers)?.[1] ?? ''
    const results = seen.get(id) ?? []
    results.push({ state, partition: Number(partition), offset: Number(offset) })
    seen.set(id, results)
  }
  return seen
}
