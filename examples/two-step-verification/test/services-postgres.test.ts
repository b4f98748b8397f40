import { after } from 'node:test'
import { notificationServiceRules } from './notification-service-rules.ts'
import { openDatabases } from './postgres-databases.ts'
import { userServiceRules } from './user-service-rules.ts'

const databases = await openDatabases()
after(() => databases[Symbol.asyncDispose]())
userServiceRules(() => databases.create())
notificationServiceRules(() => databases.create())
