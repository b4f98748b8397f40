export { type RegisteredOptions, registered } from './registry/registered.ts'
export type { RegistryAuth, SchemaRegistryOptions } from './registry/registry-options.ts'
export {
  type SchemaRegistry,
  type SchemaToRegister,
  type SubjectVersion,
  schemaRegistry,
} from './registry/schema-registry.ts'
