import { type FailedRecord, type Position, PublishError } from './broker.ts'

/** One call of `publish`: gathers what becomes of each record and answers when all are known. */
export class PublishCall {
  readonly promise: Promise<readonly Position[]>
  readonly #positions: Position[]
  #pending: number
  #failed: FailedRecord[] | null = null
  #resolve!: (positions: readonly Position[]) => void
  #reject!: (error: PublishError) => void

  constructor(records: number) {
    this.#pending = records
    this.#positions = new Array(records)
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    if (records === 0) this.#resolve(this.#positions)
  }

  durable(index: number, position: Position): void {
    this.#positions[index] = position
    if (--this.#pending === 0) this.#answer()
  }

  fail(index: number, outcome: FailedRecord['outcome'], cause: unknown): void {
    this.#failed ??= []
    this.#failed.push({ index, outcome, cause })
    if (--this.#pending === 0) this.#answer()
  }

  #answer(): void {
    if (this.#failed === null) {
      this.#resolve(this.#positions)
      return
    }
    const failed = this.#failed.sort((one, other) => one.index - other.index)
    const cause = failed[0]!.cause
    const why = cause instanceof Error ? cause.message : String(cause)
    const unknown = failed.filter(({ outcome }) => outcome === 'unknown').length
    const what = unknown === 0 ? 'not appended' : unknown === failed.length ? 'perhaps appended' : 'not known durable'
    this.#reject(new PublishError(`${failed.length} of ${this.#positions.length} records are ${what}: ${why}`, failed))
  }
}
