import { createHmac } from 'node:crypto'
import type { Random } from '@forebay/broker'

/**
 * Signatures of Standard Webhooks, version 1: HMAC-SHA256 over `id.timestamp.body`. With two secrets there are two
 * signatures, so that a receiver may know either while one takes the place of the other.
 */
export function signWebhook(secrets: readonly string[], id: string, timestampS: number, body: Uint8Array): string {
  return secrets
    .map((secret) => {
      const hmac = createHmac('sha256', Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64'))
      return `v1,${hmac.update(`${id}.${timestampS}.`).update(body).digest('base64')}`
    })
    .join(' ')
}

/** A new secret of 256 bits, as receivers and forebay.yaml write it. */
export function newWebhookSecret(random: Random): string {
  const bytes = Buffer.alloc(SECRET_BYTES)
  random.fill(bytes)
  return SECRET_PREFIX + bytes.toString('base64')
}

/** 'whsec_' and 24 to 64 bytes in base64. */
export function isWebhookSecret(text: string): boolean {
  if (!SECRET.test(text)) return false
  const bytes = Buffer.from(text.slice(SECRET_PREFIX.length), 'base64').length
  return bytes >= SECRET_BYTES_MIN && bytes <= SECRET_BYTES_MAX
}

/** Current first; more than one only while a new one takes its place. */
export const WEBHOOK_SECRETS_MAX = 2
const SECRET_PREFIX = 'whsec_'
const SECRET = /^whsec_(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const SECRET_BYTES = 32
const SECRET_BYTES_MIN = 24
const SECRET_BYTES_MAX = 64
