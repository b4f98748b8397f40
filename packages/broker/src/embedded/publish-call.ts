import { ForebayError } from '@forebay/protocol/errors'
import { type FailedRecord, type Position, PublishError } from '../broker.ts'

/** One call of `publish`: settles once every record has its answer. */
export class PublishCall {
  readonly promise: Promise<readonly Position[]>
  readonly deadlineMs: number
  /** Records without an answer. */
  left: number
  /** Some of its records are on their way to the disk. */
  sent = false
  expired = false
  readonly #positions: Position[]
  readonly #resolve: (positions: readonly Position[]) => void
  readonly #reject: (error: PublishError) => void
  #failed: FailedRecord[] | null = null

  constructor(records: number, deadlineMs: number) {
    const { promise, resolve, reject } = Promise.withResolvers<readonly Position[]>()
    this.promise = promise
    this.#resolve = resolve
    this.#reject = reject
    this.left = records
    this.deadlineMs = deadlineMs
    this.#positions = new Array(records)
  }

  succeed(index: number, position: Position): void {
    if (this.expired) return
    this.#positions[index] = position
    if (--this.left === 0) this.#settle()
  }

  fail(index: number, outcome: FailedRecord['outcome'], cause: unknown): void {
    if (this.expired) return
    this.#failed ??= []
    this.#failed.push({ index, outcome, cause })
    if (--this.left === 0) this.#settle()
  }

  expire(afterMs: number): void {
    const cause = new ForebayError(
      'BROKER_UNAVAILABLE',
      `The disk did not answer within ${afterMs} ms (publishTimeoutMs).`,
    )
    const outcome = this.sent ? 'unknown' : 'refused'
    const named = new Set(this.#failed?.map((one) => one.index))
    for (let index = 0; index < this.#positions.length; index++) {
      if (this.#positions[index] === undefined && !named.has(index)) this.fail(index, outcome, cause)
    }
    this.expired = true
  }

  #settle(): void {
    const failed = this.#failed
    if (failed === null) {
      this.#resolve(this.#positions)
      return
    }
    failed.sort((one, other) => one.index - other.index)
    const first = failed[0]!.cause
    const why = first instanceof Error ? first.message : String(first)
    this.#reject(
      new PublishError(
        `${failed.length} of ${this.#positions.length} records are not known to be kept. ${why}`,
        failed,
      ),
    )
  }
}
