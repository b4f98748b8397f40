import type { Journal } from '../journal.ts'
import { SimProcess } from '../process.ts'
import type { SeededRandom } from '../random.ts'
import type { Planned, Schedule } from '../schedule.ts'

/** What runs in a process: comes up by itself, and is gone with the process. */
export interface Program {
  readonly ready: boolean
  /** Rejects when it cannot start: the process then ends, and is started again. */
  start(): Promise<void>
  /** Takes nothing new, finishes what runs within the grace time, lets go of everything. */
  stop(graceMs: number): Promise<void>
}

/** A place where a process runs, with somebody who starts it again when it has died. */
export class SimNode<Part extends Program> {
  readonly name: string
  readonly role: string
  process: SimProcess
  program: Part
  readonly #schedule: Schedule
  readonly #random: SeededRandom
  readonly #journal: Journal
  readonly #onBroken: (error: unknown) => void
  readonly #make: (process: SimProcess) => Part
  #lives = 0
  #restart: Planned | null = null

  constructor(
    name: string,
    role: string,
    world: {
      readonly schedule: Schedule
      readonly random: SeededRandom
      readonly journal: Journal
      readonly onBroken: (error: unknown) => void
    },
    make: (process: SimProcess) => Part,
  ) {
    this.name = name
    this.role = role
    this.#schedule = world.schedule
    this.#random = world.random.stream(name)
    this.#journal = world.journal
    this.#onBroken = world.onBroken
    this.#make = make
    ;[this.process, this.program] = this.#begin()
  }

  crash(restartInMs: number): void {
    if (!this.process.alive) return
    this.#journal.write(this.process.name, { type: 'process.crash' })
    this.#end(this.process, restartInMs)
  }

  /** As a rolling restart does it. */
  stop(graceMs: number, restartInMs: number): void {
    const { process, program } = this
    if (!process.alive || !program.ready) return
    process.deliver(() => {
      program.stop(graceMs).then(() => {
        this.#journal.cover(`${this.role} stopped`)
        if (process.alive) this.#end(process, restartInMs)
      }, this.#onBroken)
    })
  }

  /** Runs, from now on at the latest. */
  revive(): void {
    this.process.resume()
    if (this.process.alive) return
    this.#restart?.cancel()
    this.#again()
  }

  #end(process: SimProcess, restartInMs: number): void {
    process.crash()
    this.#restart = this.#schedule.in(restartInMs, () => this.#again())
  }

  #again(): void {
    ;[this.process, this.program] = this.#begin()
  }

  #begin(): [SimProcess, Part] {
    const name = `${this.name}#${++this.#lives}`
    const process = new SimProcess(name, this.#schedule, this.#random.stream(name))
    this.#journal.write(name, { type: 'process.start', role: this.role })
    const program = this.#make(process)
    program.start().catch((error: unknown) => {
      this.#journal.cover(`${this.role} did not start`)
      this.#journal.cover(`start: ${error instanceof Error ? error.message.slice(0, 60) : error}`)
      if (this.process === process) this.crash(this.#random.between(200, 2_000))
    })
    return [process, program]
  }
}
