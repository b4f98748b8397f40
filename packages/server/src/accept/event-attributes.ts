import { ForebayError } from '@forebay/protocol'
import type { EncodedEvent } from '@forebay/protocol/cloudevents'

/** Says who handed an event to this server, where callers show access keys. Callers cannot write it themselves. */
export const PRINCIPAL_ATTRIBUTE = 'forebayprincipal'

/** Of one attribute's value. */
export const ATTRIBUTE_CHARS_MAX = 1_024
/** CloudEvents asks for 20 or fewer. */
export const ATTRIBUTE_NAME_CHARS_MAX = 64
export const EXTENSIONS_MAX = 50

/** What a gateway asks of attributes beyond their being there. Throws EVENT_INVALID. */
export function checkAttributes(event: EncodedEvent): void {
  const { id, source, key, subject, dataSchema, contentType, traceparent, tracestate, extensions } = event
  checkText('id', id)
  checkText('source', source)
  if (!URI_REFERENCE.test(source)) throw invalid('source', source, 'name the service by a URI reference: /user-service')
  const optional = { partitionkey: key, subject, dataschema: dataSchema, traceparent, tracestate }
  for (const [name, value] of Object.entries(optional)) if (value !== null) checkText(name, value)
  checkText('datacontenttype', contentType)
  const names = Object.keys(extensions)
  if (names.length > EXTENSIONS_MAX) {
    const message = `The event has ${names.length} extension attributes; at most ${EXTENSIONS_MAX} are taken.`
    throw new ForebayError('EVENT_INVALID', message, { members: { limit: EXTENSIONS_MAX } })
  }
  for (const name of names) {
    if (name.startsWith(OWN_PREFIX))
      throw invalid(name, extensions[name]!, `names that begin with ${OWN_PREFIX} are ours`)
    if (name.length > ATTRIBUTE_NAME_CHARS_MAX) {
      throw invalid(name, extensions[name]!, `a name has at most ${ATTRIBUTE_NAME_CHARS_MAX} characters`)
    }
    checkText(name, extensions[name]!)
  }
}

const OWN_PREFIX = 'forebay'
const URI_REFERENCE = /^[\x21-\x7e]+$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for; CloudEvents allows none in a text
const CONTROL = /[\x00-\x1f\x7f-\x9f]/

function checkText(name: string, value: string): void {
  if (value === '') throw invalid(name, value, 'leave it out instead')
  if (value.length > ATTRIBUTE_CHARS_MAX)
    throw invalid(name, value, `at most ${ATTRIBUTE_CHARS_MAX} characters are taken`)
  if (CONTROL.test(value)) throw invalid(name, value, 'control characters are not taken')
  if (!value.isWellFormed()) throw invalid(name, value, 'it is no well-formed Unicode')
}

function invalid(name: string, value: string, fix: string): ForebayError {
  const field = name.slice(0, ATTRIBUTE_NAME_CHARS_MAX)
  const got = JSON.stringify(value.slice(0, SHOWN_CHARS_MAX))
  return new ForebayError('EVENT_INVALID', `The event's ${field} is ${got}: ${fix}.`, { members: { field } })
}

const SHOWN_CHARS_MAX = 64
