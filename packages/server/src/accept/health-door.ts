import type { AddressInfo } from 'node:net'
import { ForebayError } from '@forebay/protocol'
import type { HttpOptions } from '../options.ts'
import type { Telemetry } from '../telemetry.ts'
import { type Health, sendLiveness, sendMetrics, sendReadiness } from './health-answers.ts'
import { createHttpServer } from './http-server.ts'
import { sendProblem } from './problem.ts'

/** What a process without the gateway's role shows over HTTP: /livez, /readyz and /metrics. */
export interface HealthDoor {
  listen(): Promise<{ readonly host: string; readonly port: number }>
  /** Not ready from now on. */
  drain(): void
  close(): Promise<void>
}

export interface HealthDoorParts {
  readonly http: Pick<HttpOptions, 'host' | 'port'>
  readonly health: () => Health
  readonly telemetry: Telemetry
}

export function createHealthDoor({ http, health, telemetry }: HealthDoorParts): HealthDoor {
  const { metrics } = telemetry
  let stopping = false
  const refused = (code: string) => metrics.refused.inc({ code })
  const server = createHttpServer(
    (request, response) => {
      const { pathname } = new URL(request.url!, 'http://health')
      if (pathname === '/livez') sendLiveness(response)
      else if (pathname === '/readyz') sendReadiness(response, health(), stopping)
      else if (pathname === '/metrics') void sendMetrics(response, metrics.registry)
      else {
        refused('ROUTE_NOT_FOUND')
        const error = new ForebayError(
          'ROUTE_NOT_FOUND',
          'This process is no gateway; it has /livez, /readyz and /metrics.',
        )
        sendProblem(response, error, [])
      }
    },
    { stopping: () => stopping, refused },
  )
  return {
    listen: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen(http.port, http.host, () => {
          server.off('error', reject)
          resolve({ host: http.host, port: (server.address() as AddressInfo).port })
        })
      }),
    drain() {
      stopping = true
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
