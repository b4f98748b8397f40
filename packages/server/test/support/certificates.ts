import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const OPENSSL = '/usr/bin/openssl'

/** Why tests with certificates are left out; false where they are not. */
export const noCertificates = existsSync(OPENSSL) ? false : 'openssl is not installed'

export interface Pair {
  readonly key: string
  readonly cert: string
}

/** An authority of the test's own, PEM, and a certificate of it for each name. */
export function makeCertificates(names: readonly string[]): {
  readonly ca: string
  readonly pairs: ReadonlyMap<string, Pair>
} {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-ca-'))
  const at = (file: string) => join(dir, file)
  const openssl = (...args: string[]) => execFileSync(OPENSSL, args, { stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout']
  try {
    openssl('req', '-x509', ...newKey, at('ca.key'), '-out', at('ca.pem'), '-days', '2', '-subj', '/CN=Test CA')
    const pairs = new Map<string, Pair>()
    for (const [index, name] of names.entries()) {
      const [key, request, cert, extensions] = ['key', 'csr', 'pem', 'ext'].map((ending) =>
        at(`${index}.${ending}`),
      ) as [string, string, string, string]
      writeFileSync(extensions, `subjectAltName=DNS:${name}\n`)
      openssl('req', '-new', ...newKey, key, '-out', request, '-subj', `/CN=${name}`)
      openssl(
        'x509',
        '-req',
        '-in',
        request,
        '-CA',
        at('ca.pem'),
        '-CAkey',
        at('ca.key'),
        '-CAcreateserial',
        '-days',
        '2',
        '-extfile',
        extensions,
        '-out',
        cert,
      )
      pairs.set(name, { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') })
    }
    return { ca: readFileSync(at('ca.pem'), 'utf8'), pairs }
  } finally {
    rmSync(dir, { recursive: true })
  }
}
