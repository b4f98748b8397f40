import type { BlobOptions } from '../options.ts'
import { type Field, leaf, object, type Place, quote } from './field.ts'
import { size, text } from './scalar-fields.ts'

/** `default` is told apart from what somebody wrote: it depends on the broker. */
export type BlobPlaceChoice =
  | { readonly kind: 'default' | 'none' | 'data' }
  /** As written, relative to the file it stands in. */
  | { readonly kind: 'path'; readonly path: string }
  | ({ readonly kind: 's3'; readonly bucket: string; readonly prefix: string } & Pick<S3Place, 'region' | 'endpoint'>)

type S3Place = Extract<BlobOptions['place'], { readonly kind: 's3' }>

const FORMS = 'Write folder, none, a path that begins with / or ./, or s3://BUCKET/PREFIX?region=REGION&endpoint=URL.'

const placeField: Field<string, BlobPlaceChoice> = leaf<string, BlobPlaceChoice>({
  about:
    'Where they go. folder: blobs in `data`. A path (/… or ./…): a folder, for several processes a shared one. s3://BUCKET/PREFIX?region=REGION&endpoint=URL: S3, or what speaks it; without an endpoint AWS. none: everything stays in records. Default: folder with the embedded broker, none with Kafka.',
  schema: { type: 'string', pattern: '^(folder|none|[.]{0,2}/.*|s3://.+)$' },
  absent: { kind: 'default' },
  parse(given, place) {
    if (given === 'none') return { kind: 'none' }
    if (given === 'folder') return { kind: 'data' }
    if (typeof given === 'string' && /^\.{0,2}\//.test(given)) return { kind: 'path', path: given }
    if (typeof given === 'string' && given.startsWith('s3://')) return s3Place(given, place)
    place.refuse(given, `${quote(given)} is no place for blobs.`, FORMS)
  },
})

export const blobsField = object('Bodies and answers that are too large for the log.', {
  above: size('Larger ones go outside the log.', { default: '512KiB', min: '1KiB', max: '64MiB' }),
  resultMax: size('Largest answer of a worker or target, where there is a place for large ones.', {
    default: '16MiB',
    min: '1MiB',
    max: '64MiB',
  }),
  place: placeField,
  accessKeyId: text("Of S3. Default: as AWS's SDK finds one (environment, ~/.aws, the machine's role)."),
  secretAccessKey: text(
    'Its secret; better given as FOREBAY_BLOBS_SECRET_ACCESS_KEY or in a file as FOREBAY_BLOBS_SECRET_ACCESS_KEY_FILE.',
  ),
})

function s3Place(given: string, place: Place): BlobPlaceChoice | undefined {
  if (given.slice(0, given.indexOf('?') === -1 ? undefined : given.indexOf('?')).includes('@')) {
    const fix = 'Write s3://BUCKET and put the keys under blobs.accessKeyId and blobs.secretAccessKey.'
    return place.refuse('(hidden)', 'The address of S3 holds a password.', fix)
  }
  const [, bucket, path = '', query = ''] = /^s3:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(given) ?? []
  if (bucket === undefined || !BUCKET.test(bucket)) {
    return place.refuse(given, `${quote(bucket ?? given)} is not the name of a bucket.`, FORMS)
  }
  const parameters = new URLSearchParams(query)
  for (const name of parameters.keys()) {
    if (name !== 'region' && name !== 'endpoint') {
      return place.refuse(given, `An address of S3 has no ${quote(name)}.`, 'Known: region, endpoint.')
    }
  }
  const endpoint = parameters.get('endpoint')
  if (endpoint !== null && !isHttpUrl(endpoint)) {
    return place.refuse(given, `${quote(endpoint)} is not the address of a server.`, 'Write endpoint=http://host:9000.')
  }
  const prefix = path === '' || path.endsWith('/') ? path : `${path}/`
  return { kind: 's3', bucket, prefix, region: parameters.get('region') ?? REGION_DEFAULT, endpoint }
}

/** AWS's own first one, and what servers of others go by when they have none. */
const REGION_DEFAULT = 'us-east-1'
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/

function isHttpUrl(text: string): boolean {
  return /^https?:$/.test(URL.parse(text)?.protocol ?? '')
}
