import { ForebayError } from '@forebay/protocol'

/** What an S3 server answered, as far as we look at it; status 0 when it answered nothing. */
export interface S3Answer {
  readonly status: number
  /** 'NoSuchKey', 'AccessDenied', or the name of what went wrong on the way. */
  readonly name: string
}

export function answerOf(thrown: unknown): S3Answer {
  if (!(thrown instanceof Error)) return { status: 0, name: String(thrown) }
  const { $metadata } = thrown as { readonly $metadata?: { readonly httpStatusCode?: number } }
  return { status: $metadata?.httpStatusCode ?? 0, name: thrown.name }
}

/** The object is not there; a missing bucket is no missing object. */
export function isNoSuchKey(thrown: unknown): boolean {
  const { status, name } = answerOf(thrown)
  return status === 404 && name !== 'NoSuchBucket'
}

/** What a first look at the bucket says about the configuration; null when it may be well. */
export function configurationFault(thrown: unknown, bucket: string): ForebayError | null {
  const { status, name } = answerOf(thrown)
  if (status === 404) return invalid(`there is no bucket ${bucket}. Make it, or name another.`, thrown)
  if (status === 301) return invalid(`the bucket ${bucket} is in another region. Write ?region=… with its own.`, thrown)
  if (status === 401 || status === 403) {
    const needs = 's3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject'
    return invalid(`the bucket ${bucket} refuses our credentials (${status}); they need ${needs}.`, thrown)
  }
  // The chain of AWS's SDK came to its end before anything was sent.
  if (name === 'CredentialsProviderError') {
    return invalid('no credentials for S3 were found. Set blobs.accessKeyId and blobs.secretAccessKey.', thrown)
  }
  return null
}

function invalid(message: string, cause: unknown): ForebayError {
  return new ForebayError('CONFIG_INVALID', `blobs.place: ${message}`, { cause })
}
