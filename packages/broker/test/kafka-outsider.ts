import { Connection, describeGroupsV5, findCoordinatorV4, leaveGroupV4, offsetFetchV8 } from '@platformatic/kafka'

/** Somebody with a plain connection, who sees what a group has committed and can end a membership. */
export interface GroupOutsider extends AsyncDisposable {
  committed(topic: string, partition: number): Promise<{ readonly offset: number; readonly metadata: string } | null>
  expelAll(): Promise<void>
}

export async function lookAtGroup(bootstrap: string, group: string): Promise<GroupOutsider> {
  const [host, port] = bootstrap.split(':')
  const connection = new Connection('outsider')
  await connection.connect(host!, Number(port))
  const onReady = await untilReady(() => findCoordinatorV4.api.async(connection, 0, [group]))
  if (onReady.coordinators[0] === undefined) throw new Error('There is no coordinator.')
  return {
    async committed(topic, partition) {
      const topics = [{ name: topic, partitionIndexes: [partition] }]
      const answer = await offsetFetchV8.api.async(connection, [{ groupId: group, memberEpoch: -1, topics }], false)
      const found = answer.groups[0]!.topics[0]!.partitions[0]!
      if (found.committedOffset < 0n) return null
      return { offset: Number(found.committedOffset), metadata: found.metadata ?? '' }
    },
    async expelAll() {
      const described = await describeGroupsV5.api.async(connection, [group], false)
      const members = described.groups[0]!.members.map(({ memberId }) => ({
        memberId,
        groupInstanceId: null,
        reason: null,
      }))
      if (members.length === 0) throw new Error('The group has no members.')
      await leaveGroupV4.api.async(connection, group, members)
    },
    [Symbol.asyncDispose]: () => connection.close(),
  }
}

/** A cluster that is new makes the place for its groups at the first question. */
async function untilReady<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const first = (error as AggregateError).errors?.[0] as { apiId?: string } | undefined
      if (!/COORDINATOR/.test(first?.apiId ?? '')) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
