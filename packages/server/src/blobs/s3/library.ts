/** The client library, loaded when the first bucket opens: 22 MB that nobody else needs. */
export type Library = typeof import('@aws-sdk/client-s3')

export function loadLibrary(): Promise<Library> {
  return import('@aws-sdk/client-s3')
}
