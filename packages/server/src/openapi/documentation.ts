import type { Handle } from '../accept/http-call.ts'
import { DOCS_POLICY, docsPage } from './docs-page.ts'
import { openApiDocument } from './document.ts'
import type { Json } from './json.ts'
import type { DocumentParts } from './operation.ts'
import { sendVersioned } from './versioned-answer.ts'

/** The description of the HTTP door, for programs and for people. Made when it is first asked for: all routes are known then. */
export interface Documentation {
  readonly document: Handle
  readonly page: Handle
}

export function createDocumentation(partsOf: () => DocumentParts): Documentation {
  let made: Json | null = null
  let written: Buffer | null = null
  const document = () => {
    made ??= openApiDocument(partsOf())
    return made
  }
  return {
    document(call) {
      written ??= Buffer.from(JSON.stringify(document()))
      sendVersioned(call, written, ['Content-Type', 'application/json', ...NO_SNIFF])
    },
    page(call) {
      const page = docsPage(document(), baseOf(call.fields.host, call.request.headers['x-forwarded-proto']))
      sendVersioned(call, Buffer.from(page), PAGE_HEADERS)
    },
  }
}

const NO_SNIFF = ['X-Content-Type-Options', 'nosniff']
const PAGE_HEADERS = [
  ...['Content-Type', 'text/html; charset=utf-8', 'Content-Security-Policy', DOCS_POLICY, ...NO_SNIFF],
  ...['Referrer-Policy', 'no-referrer'],
]

/** As the reader came here; the page is shown to whoever sent these headers, and to nobody else. */
function baseOf(host: string | undefined, proto: string | string[] | undefined): string {
  const scheme = proto === 'https' ? 'https' : 'http'
  return `${scheme}://${host !== undefined && HOST.test(host) ? host : HOST_UNKNOWN}`
}

const HOST = /^(?:[\w.-]{1,253}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/i
const HOST_UNKNOWN = '127.0.0.1:8080'
