import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
} from 'node:crypto'

/**
 * The way of a code through the log: RSA-OAEP (SHA-256) to the public key of whoever sends the mail. The log may keep the
 * event for weeks, and be copied to where nobody thinks of it: what it holds is of no use there. user-service
 * itself cannot read it any more once the transaction is over. OAEP is randomised, so that a list of all million codes
 * does not help either.
 */
export interface SealedCode {
  readonly codeId: string
  /** Which key pair: after a change of keys the old private key is kept as long as the log keeps events. */
  readonly keyId: string
  /** base64 */
  readonly sealed: string
}

export interface SealingKey {
  readonly keyId: string
  readonly key: KeyObject
}

/** The label ties it to its event: a sealed code that is put into another user's event does not open. */
export function sealCode(code: string, { userId, codeId }: CodeContext, { keyId, key }: SealingKey): SealedCode {
  const sealed = publicEncrypt({ ...optionsOf(key), oaepLabel: labelOf(userId, codeId) }, Buffer.from(code))
  return { codeId, keyId, sealed: sealed.toString('base64') }
}

/** Throws where no key fits, or what was sealed was sealed for another event. */
export function openCode({ codeId, keyId, sealed }: SealedCode, userId: string, keys: readonly SealingKey[]): string {
  const found = keys.find((one) => one.keyId === keyId)
  if (found === undefined) throw new Error(`The code is sealed for the key ${keyId}, which is not here.`)
  const options = { ...optionsOf(found.key), oaepLabel: labelOf(userId, codeId) }
  return privateDecrypt(options, Buffer.from(sealed, 'base64')).toString()
}

export function publicSealingKey(pem: string): SealingKey {
  const key = createPublicKey(pem)
  return { keyId: keyIdOf(key), key }
}

export function privateSealingKey(pem: string): SealingKey {
  const key = createPrivateKey(pem)
  return { keyId: keyIdOf(createPublicKey(key)), key }
}

export interface CodeContext {
  readonly userId: string
  readonly codeId: string
}

const KEY_ID_CHARS = 16

function keyIdOf(publicKey: KeyObject): string {
  const der = publicKey.export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(der).digest('hex').slice(0, KEY_ID_CHARS)
}

function optionsOf(key: KeyObject) {
  return { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' } as const
}

function labelOf(userId: string, codeId: string): Buffer {
  return Buffer.from(`${userId}\n${codeId}`)
}
