/** What a task asks of its worker; the body of every task of a chaos run. */
export interface Script {
  /** Unique, so that an answer can be told from every other. */
  readonly name: string
  readonly workMs: number
  /** So many attempts fail before one succeeds. */
  readonly failures: number
}

export function writeScript({ name, workMs, failures }: Script): string {
  return `${name} ${workMs} ${failures}`
}

export function readScript(body: string): Script {
  const [name, workMs, failures] = body.split(' ') as [string, string, string]
  return { name, workMs: Number(workMs), failures: Number(failures) }
}
