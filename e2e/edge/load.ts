import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startProcess } from '../../scripts/rig/process.ts'

export interface LoadOptions {
  readonly url: string
  readonly requests: number
  /** Of all connections together. */
  readonly perSecond: number
  /** Where lists of addresses may be written. */
  readonly dir: string
}

export interface LoadReport {
  /** What each request asked for; no two the same. */
  readonly paths: readonly string[]
  /** Requests that got an answer, whichever. */
  readonly answered: number
  /** Requests that got none. */
  readonly failed: number
}

/** Reads of tasks that do not exist, each by an address of its own, over a few connections of h2load. */
export async function runLoad({ url, requests, perSecond, dir }: LoadOptions): Promise<LoadReport> {
  const paths = Array.from({ length: requests }, (_, number) => `/v1/tasks/none?number=${number}`)
  const each = Math.ceil(requests / CONNECTIONS)
  const reports = await Promise.all(
    Array.from({ length: CONNECTIONS }, async (_, lane) => {
      // h2load gives every connection of a process the same list.
      const own = paths.slice(lane * each, (lane + 1) * each)
      const list = join(dir, `addresses-${lane}.txt`)
      await writeFile(list, own.map((path) => `${url}${path}\n`).join(''))
      const rate = Math.max(1, Math.round(perSecond / CONNECTIONS))
      const args = ['--h1', '-n', String(own.length), '-c', '1', '-t', '1', `--rps=${rate}`, '-i', list]
      await using h2load = startProcess({ name: 'h2load', command: 'h2load', args })
      const { code } = await h2load.exited
      const output = h2load.output()
      const [, done, failed] = /(\d+) done, \d+ succeeded, (\d+) failed/.exec(output) ?? []
      const [, errored] = /(\d+) errored/.exec(output) ?? []
      if (code !== 0 || done === undefined) throw new Error(`h2load ended with ${code}: ${output.slice(-2_000)}`)
      // It counts an answer of 404 as failed; errored are those without any.
      return { done: Number(done), failed: Number(failed), errored: Number(errored) }
    }),
  )
  const sum = (figures: readonly number[]) => figures.reduce((all, one) => all + one, 0)
  const failed = sum(reports.map((one) => one.errored))
  return { paths, answered: sum(reports.map((one) => one.done)) - failed, failed }
}

const CONNECTIONS = 8
