import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { requireCommand } from './debian.ts'

const run = promisify(execFile)

/** Makes a certificate that vouches for itself, and its key (PEM, PKCS #8), for the names that it is to stand for. */
export async function makeCertificate(
  files: { readonly certificate: string; readonly key: string },
  names: readonly string[],
): Promise<void> {
  await requireCommand('openssl', 'openssl')
  const alternatives = names.map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',')
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=forebay-rig', '-addext', `subjectAltName=${alternatives}`],
    ...['-keyout', files.key, '-out', files.certificate],
  ])
}
