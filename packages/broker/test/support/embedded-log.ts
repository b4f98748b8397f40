import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Broker, TopicSpec } from '../../src/broker.ts'
import { type EmbeddedBrokerOptions, embeddedBroker } from '../../src/embedded/embedded.ts'

/** A folder that is gone after the test. */
export async function folder(context: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'forebay-embedded-'))
  context.after(() => rm(dir, { recursive: true }))
  return dir
}

/** An opened broker that is closed after the test, before its folder goes. */
export async function opened(
  context: TestContext,
  options: EmbeddedBrokerOptions,
  topics: readonly TopicSpec[],
): Promise<Broker> {
  const broker = embeddedBroker(options)
  context.after(() => broker.close())
  await broker.open({ topics })
  return broker
}
