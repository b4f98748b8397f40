import type { FairnessOptions } from '../options.ts'
import type { TaskHeader } from '../task.ts'

/**
 * Adds the header of the request by which its queue shares capacity (`fairness: header.X-Tenant`), so that the task
 * carries it to the dispatcher. What is not 1 to 256 printable ASCII characters is left out: its task then stands with
 * those that name no flow.
 */
export function withFlowHeader(
  headers: readonly TaskHeader[],
  fairness: FairnessOptions | null,
  read: (name: string) => string | undefined,
): readonly TaskHeader[] {
  if (fairness?.by.from !== 'header') return headers
  const { header } = fairness.by
  const value = read(header)
  if (value === undefined || !VALUE.test(value) || headers.some(([name]) => name === header)) return headers
  return [...headers, [header, value]]
}

const VALUE = /^[\x20-\x7e]{1,256}$/
