import { setTimeout as sleep } from 'node:timers/promises'
import { Admin } from '@platformatic/kafka'

export async function createTopics(bootstrap: string, partitions: Readonly<Record<string, number>>): Promise<void> {
  await withAdmin(bootstrap, async (admin) => {
    for (const [topic, count] of Object.entries(partitions)) {
      await admin.createTopics({ topics: [topic], partitions: count, replicas: 1 })
    }
  })
}

/** Removes all topics that begin so; a round leaves nothing behind that the next would read. */
export async function deleteTopics(bootstrap: string, prefix: string): Promise<void> {
  await withAdmin(bootstrap, async (admin) => {
    const named = async () => (await admin.listTopics()).filter((topic) => topic.startsWith(prefix))
    const topics = await named()
    if (topics.length === 0) return
    await admin.deleteTopics({ topics })
    while ((await named()).length > 0) await sleep(POLL_MS)
  })
}

const POLL_MS = 50

async function withAdmin(bootstrap: string, act: (admin: Admin) => Promise<void>): Promise<void> {
  const admin = new Admin({ clientId: 'bench', bootstrapBrokers: bootstrap.split(',') })
  try {
    await act(admin)
  } finally {
    await admin.close()
  }
}
