import { type MessageToProduce, ProduceAcks, type Producer } from '@platformatic/kafka'

type Message = MessageToProduce<Buffer, Buffer, Buffer, Buffer>

/**
 * Gathers what comes within one turn of the event loop, or while `inFlightMax` requests are under way, into one
 * produce request: costs nothing when idle and makes large batches when busy.
 */
export class Coalescer {
  readonly #producer: Producer<Buffer, Buffer, Buffer, Buffer>
  readonly #inFlightMax: number
  #waiting: { message: Message; done: (error: Error | null) => void }[] = []
  #inFlight = 0
  #scheduled = false

  constructor(producer: Producer<Buffer, Buffer, Buffer, Buffer>, inFlightMax: number) {
    this.#producer = producer
    this.#inFlightMax = inFlightMax
  }

  send(message: Message, done: (error: Error | null) => void): void {
    this.#waiting.push({ message, done })
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    if (this.#waiting.length === 0 || this.#inFlight >= this.#inFlightMax) return
    const batch = this.#waiting
    this.#waiting = []
    this.#inFlight++
    const finish = (error: Error | null) => {
      this.#inFlight--
      for (const { done } of batch) done(error)
      this.#flush()
    }
    this.#producer.send({ messages: batch.map(({ message }) => message), acks: ProduceAcks.ALL }).then(
      () => finish(null),
      (error: Error) => finish(error),
    )
  }
}
