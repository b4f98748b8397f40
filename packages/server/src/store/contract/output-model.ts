import { countsAfter, type Output, type OutputHead } from '../../task.ts'
import type { Fact } from './contract-place.ts'
import { shown } from './output-place.ts'

/** What should be kept of what tasks say, the slow and obvious way: one entry of the lane after the other. */
export class OutputModel {
  /** What results and notes tell of each task. */
  readonly #tasks = new Map<string, { readonly generation: number; readonly ended: boolean }>()
  readonly #streams = new Map<string, ModelStream>()

  take(offset: number, fact: Fact): void {
    if ('run' in fact) this.#takeOutput(offset, fact)
    else this.#takeFact(fact.taskId, fact.generation, 'end' in fact)
  }

  read(taskId: string): ModelKept | null {
    const stream = this.#streams.get(taskId)
    if (stream === undefined || stream.generation < (this.#tasks.get(taskId)?.generation ?? 0)) return null
    const { generation, attempts, beganAt, head } = stream
    const outputs = stream.said.map(({ offset, output }) => shown({ ...output, offset }))
    return { generation, attempts, beganAt, head, outputs, more: false }
  }

  #takeFact(taskId: string, generation: number, ended: boolean): void {
    const known = this.#tasks.get(taskId)
    const isNews = known === undefined || generation > known.generation || (generation === known.generation && ended)
    if (isNews) this.#tasks.set(taskId, { generation, ended })
  }

  #takeOutput(offset: number, output: Output): void {
    const { taskId, generation, attempts, run, chunks } = output
    const known = this.#tasks.get(taskId)
    if (known !== undefined && (known.generation > generation || (known.generation === generation && known.ended)))
      return
    const stream = this.#streams.get(taskId)
    if (stream !== undefined && stream.generation > generation) return
    const goesOn = stream !== undefined && stream.generation === generation ? stream : null
    if (!countsAfter(goesOn?.head ?? null, output)) return
    if (goesOn === null || goesOn.head.run !== run) {
      const said = [{ offset, output }]
      this.#streams.set(taskId, { generation, attempts, beganAt: offset, head: { run, chunks }, said })
      return
    }
    goesOn.head = { run, chunks }
    const isProgress = output.content.kind === 'progress'
    goesOn.said = goesOn.said.filter((one) => !isProgress || one.output.content.kind !== 'progress')
    goesOn.said.push({ offset, output })
  }
}

interface ModelStream {
  readonly generation: number
  readonly attempts: number
  readonly beganAt: number
  head: OutputHead
  said: { readonly offset: number; readonly output: Output }[]
}

export interface ModelKept {
  readonly generation: number
  readonly attempts: number
  readonly beganAt: number
  readonly head: OutputHead
  /** As `shown` has them. */
  readonly outputs: readonly string[]
  readonly more: boolean
}
