import { userServiceRules } from './user-service-rules.ts'

// The rig's own: a SQLite file.
userServiceRules(async () => undefined)
