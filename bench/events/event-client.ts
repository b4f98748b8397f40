/** A client that is compared: takes the same events, and writes the same bytes into the log. */
export interface EventClient {
  /** Resolves when the log has all of them (acks of all replicas). */
  publish(orders: readonly Order[]): Promise<unknown>
  close(): Promise<unknown>
}

export interface Order {
  readonly orderId: string
  readonly note: string
}

/** About 500 bytes as JSON; 1,000 keys. */
export function newOrder(number: number): Order {
  return { orderId: `order-${number % KEYS}`, note: NOTE }
}
const KEYS = 1_000
const NOTE = 'n'.repeat(460)

/** What createProducer writes for an order, as a person would write it by hand: docs/events.md. */
export function recordOf(order: Order) {
  return {
    key: order.orderId,
    value: JSON.stringify(order),
    headers: {
      ce_specversion: '1.0',
      ce_id: crypto.randomUUID(),
      ce_source: '/bench',
      ce_type: 'order_placed',
      ce_time: new Date().toISOString(),
      ce_dataversion: '1',
      'content-type': 'application/json',
      ce_dataschema: 'urn:forebay:event:order_placed:1',
      ce_partitionkey: order.orderId,
    },
  }
}
