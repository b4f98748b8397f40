/** What handling an event takes. */
export const HANDLER_MS = 1

/** What a consumer has done since its first event, and whether it kept the order of each key. */
export class HandledOrders {
  readonly over: Promise<void>
  isOver = false
  readonly #forMs: number
  readonly #over = Promise.withResolvers<void>()
  readonly #lastOf = new Map<string, number>()
  readonly #running = new Set<string>()
  #beganMs = 0
  #tookMs = 0
  #cpuBefore = process.cpuUsage()
  #cpuMicros = 0
  #count = 0
  #disordered = 0
  #atOnceMax = 0

  constructor(seconds: number) {
    this.over = this.#over.promise
    this.#forMs = seconds * 1_000
  }

  begin(key: string, offset: number): void {
    if (this.#beganMs === 0) {
      this.#beganMs = performance.now()
      this.#cpuBefore = process.cpuUsage()
    }
    if (this.#running.has(key) || offset <= (this.#lastOf.get(key) ?? -1)) this.#disordered++
    this.#running.add(key)
    this.#lastOf.set(key, offset)
    this.#atOnceMax = Math.max(this.#atOnceMax, this.#running.size)
  }

  end(key: string): void {
    this.#running.delete(key)
    if (this.isOver) return
    this.#count++
    this.#tookMs = performance.now() - this.#beganMs
    if (this.#tookMs < this.#forMs) return
    const { user, system } = process.cpuUsage(this.#cpuBefore)
    this.#cpuMicros = user + system
    this.isOver = true
    this.#over.resolve()
  }

  /** One line for whoever started this process. */
  tell(): void {
    const figures: HandledFigures = {
      perSecond: (this.#count / this.#tookMs) * 1_000,
      disordered: this.#disordered,
      atOnceMax: this.#atOnceMax,
      cpuMicros: this.#cpuMicros / this.#count,
      residentMiB: process.memoryUsage.rss() / 2 ** 20,
    }
    console.log(`FIGURES ${JSON.stringify(figures)}`)
  }
}

export interface HandledFigures {
  readonly perSecond: number
  /** Handlers that began before an earlier event of their key had ended, or after a later one. */
  readonly disordered: number
  readonly atOnceMax: number
  /** CPU time of the process an event. */
  readonly cpuMicros: number
  readonly residentMiB: number
}
