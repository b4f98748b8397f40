// A second door: configuration without the server behind it, which takes a few hundred milliseconds to load.
export { nearestName } from './nearest-name.ts'
export { formatAddress, isLoopback } from './options/address.ts'
export { parseDuration } from './options/duration.ts'
export type { Fault, Field, Path } from './options/field.ts'
export type { QueueOptions, ServerOptions } from './options.ts'
export { optionsField, optionsSchema } from './options-schema.ts'
export { resolveOptions } from './resolve-options.ts'
export { dispatchGroup } from './topics.ts'
