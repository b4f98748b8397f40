/** The client library, loaded when the first Kafka broker opens: importing it takes about a second. */
export type Library = typeof import('@platformatic/kafka')

export function loadLibrary(): Promise<Library> {
  return import('@platformatic/kafka')
}
