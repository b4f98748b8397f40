/** What a task asks of its worker; the body of every task of this run. */
export interface Errand {
  /** Unique, so that an answer can be told from every other. */
  readonly name: string
  readonly workMs: number
  readonly chunks: number
}

export function writeErrand({ name, workMs, chunks }: Errand): string {
  return `${name} ${workMs} ${chunks}`
}

export function readErrand(body: string): Errand {
  const [name, workMs, chunks] = body.split(' ') as [string, string, string]
  return { name, workMs: Number(workMs), chunks: Number(chunks) }
}

/** The one right answer. */
export function answerTo(body: string): string {
  return `done: ${body}`
}

export function chunksOf({ name, chunks }: Errand): readonly string[] {
  return Array.from({ length: chunks }, (_, index) => `${name}#${index + 1}`)
}
