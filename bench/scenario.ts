/**
 * accept: POST 512 bytes of JSON, answered when they are kept; nobody works on them. roundtrip: POST the same, a worker
 * answers with it, and the answer is the response.
 */
export type Scenario = 'accept' | 'roundtrip'

export const STATUS_OF: Readonly<Record<Scenario, number>> = { accept: 202, roundtrip: 200 }

/** Throughput is read at the many, latency at the one. */
export const CONNECTIONS = [1, 64, 256] as const
export type Connections = (typeof CONNECTIONS)[number]
