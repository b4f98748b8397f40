export type { QueueOptions, Role, ServerOptions } from './options.ts'
export type { GivenOptions, GivenQueue } from './options-schema.ts'
export { type ResolveContext, requireOptions } from './resolve-options.ts'
export { createMetrics, type Metrics, type Telemetry } from './telemetry.ts'
