/** Topic names; a queue may name its own. */
export const RESULTS_TOPIC = 'forebay.results'
/** One small topic of records that are read from the start by every process; it holds the secrets that sign ids. */
export const CLUSTER_TOPIC = 'forebay.cluster'
/** Cancellations, for every dispatcher to hear; read without a group. */
export const CONTROL_TOPIC = 'forebay.control'

export function taskTopic(queue: string): string {
  return `forebay.tasks.${queue}`
}

export function eventTopic(event: string): string {
  return `forebay.events.${event}`
}

/** Where a group of consumers finds events that are to come to it once more. */
export function isAgainTopic(topic: string): boolean {
  return topic.startsWith('forebay.again.')
}

export function deadTopic(topic: string): string {
  return `${topic}.dead`
}

export function dispatchGroup(queue: string): string {
  return `forebay.dispatch.${queue}`
}
