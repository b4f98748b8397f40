import type { BrokerCapabilities } from '@forebay/broker'

export const SIM_CAPABILITIES: BrokerCapabilities = {
  name: 'kafka',
  durability: 'replicated',
  shared: true,
  doneSetSurvivesRestart: true,
  recordBytesMax: 1024 * 1024,
}
