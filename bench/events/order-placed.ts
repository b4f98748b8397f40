import { defineEvent } from '@forebay/events'
import { Type } from 'typebox'

export function orderPlacedOn(topic: string) {
  return defineEvent('order_placed', {
    topic,
    key: ({ orderId }) => orderId,
    schema: Type.Object({ orderId: Type.String(), note: Type.String() }),
  })
}
