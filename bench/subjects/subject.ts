import type { Scenario } from '../scenario.ts'

/** One of those that are measured against each other. */
export interface Subject {
  /** In the table and in the stored results. */
  readonly name: string
  /** The processes that it runs, for the reader. */
  readonly shape: string
  readonly needsKafka: boolean
  /** Starts everything anew: processes, topics, folders. Its `dispose` removes all of it. */
  start(scenario: Scenario, context: SubjectContext): Promise<RunningSubject>
}

export interface SubjectContext {
  /** host:port of the Kafka of this run; null when no subject needs one. */
  readonly bootstrap: string | null
  /** Given to the Node processes of Forebay, for profiles. */
  readonly nodeEnv: Readonly<Record<string, string>>
}

export interface RunningSubject extends AsyncDisposable {
  readonly url: string
  /** What wrk sends as Prefer. */
  readonly prefer: string | null
  /** Its processes by name, to look at their memory. */
  readonly pids: Readonly<Record<string, number>>
}
