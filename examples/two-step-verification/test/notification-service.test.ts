import { notificationServiceRules } from './notification-service-rules.ts'

// The rig's own: a SQLite file.
notificationServiceRules(async () => undefined)
