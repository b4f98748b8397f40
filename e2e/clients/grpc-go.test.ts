import { test } from 'node:test'
import { startProcess } from '../../scripts/rig/process.ts'
import { goClient } from './go-client.ts'
import { openScene, passes } from './scene.ts'

test('grpc-go takes every road of TaskService, with code generated from our .proto', async () => {
  const command = await goClient()
  await using scene = await openScene()
  await using client = startProcess({ name: 'grpc-go client', command, args: [scene.target, scene.key] })
  await passes(client, ['health and reflection', 'a deadline of years'])
})
