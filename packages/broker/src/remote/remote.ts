export type { ForebayBrokerOptions, ForebayTls } from './options.ts'
export { forebayBroker } from './remote-broker.ts'
