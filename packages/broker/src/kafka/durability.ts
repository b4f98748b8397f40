import type { Cluster } from './cluster.ts'
import { messageOf } from './kafka-error.ts'

const TOPIC = 2
const IN_SYNC = 'min.insync.replicas'
const FLUSH = 'flush.messages'

/**
 * Says where topics that exist keep less than the profile promises (P1): we make topics as they should be, but never
 * change one that is there.
 */
export async function warnOfWeakTopics(cluster: Cluster, topics: readonly string[]): Promise<void> {
  const { fsync, onWarning } = cluster.settings
  if (topics.length === 0) return
  try {
    const resources = topics.map((resourceName) => ({
      resourceType: TOPIC,
      resourceName,
      configurationKeys: [IN_SYNC, FLUSH],
    })) as Parameters<typeof cluster.library.describeConfigsV4.api.async>[1]
    const link = await cluster.anyLink()
    const { results } = await link.call(cluster.library.describeConfigsV4.api, resources, false, false)
    const weak = (name: string, isWeak: (value: string) => boolean) =>
      results
        .filter(({ configs }) => configs.some((one) => one.name === name && isWeak(one.value ?? '')))
        .map(({ resourceName }) => resourceName)
    const alone = weak(IN_SYNC, (value) => Number(value) < 2)
    const unflushed = fsync ? weak(FLUSH, (value) => value !== '1') : []
    if (alone.length > 0) {
      onWarning(`One machine alone keeps what these topics acknowledge (${IN_SYNC} is below 2).`, { topics: alone })
    }
    if (unflushed.length > 0) {
      onWarning(`Power loss can take what these topics acknowledge (${FLUSH} is not 1).`, { topics: unflushed })
    }
  } catch (error) {
    onWarning('How durable the topics are could not be asked.', { cause: messageOf(error) })
  }
}
