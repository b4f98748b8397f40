import { pino } from 'pino'
import { createMetrics, type Telemetry } from '../packages/server/src/telemetry.ts'

/** Of all processes of all runs: nobody looks at it. */
export const TELEMETRY: Telemetry = { log: pino({ level: 'silent' }), metrics: createMetrics() }
