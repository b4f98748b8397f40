import { fileURLToPath } from 'node:url'
import { freePort, startProcess } from '../../scripts/rig/process.ts'
import type { Subject } from './subject.ts'

/** A bare Fastify that answers and keeps nothing: what HTTP alone costs here. */
export const echo: Subject = {
  name: 'echo',
  shape: 'Fastify',
  needsKafka: false,
  async start(scenario) {
    const port = await freePort()
    const server = startProcess({
      name: 'echo',
      command: process.execPath,
      args: [fileURLToPath(new URL('echo-server.ts', import.meta.url)), String(port)],
    })
    await server.line(/ready/)
    return {
      url: `http://127.0.0.1:${port}/${scenario === 'accept' ? 'accept' : 'call'}`,
      prefer: null,
      pids: { server: server.pid },
      async [Symbol.asyncDispose]() {
        await server.stop()
      },
    }
  },
}
