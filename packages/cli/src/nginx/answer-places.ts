import { block, type Directive, line } from './directives.ts'

/**
 * Where nginx's own answers stand. It sends only a request whose address it could read to a named location; any other would
 * be answered 500. So what may be wrong with a request that early has its answer at an internal address as well. Not only
 * there: a request that is sent to an address becomes a GET.
 */
export interface AnswerPlace {
  readonly name: string
  /** Whether it may be said before nginx has read the address. */
  readonly early: boolean
  readonly why: string
}

export function errorPage(statuses: string, { name, early, why }: AnswerPlace, status: number): Directive {
  return line(`error_page ${statuses} =${status} ${early ? `\${${PLACES}}` : NAMED}${name}`, why)
}

export function answerLocations({ name, early, why }: AnswerPlace, inside: readonly Directive[]): Directive[] {
  const heading = `${why.charAt(0).toUpperCase()}${why.slice(1)}.`
  const named = block(`location ${NAMED}${name}`, heading, inside)
  if (!early) return [named]
  return [
    named,
    block(`location = ${INTERNAL}${name}`, 'The same where no address could be read.', [
      line('internal', 'nobody can ask for it'),
      line('client_max_body_size 0', 'the first fault counts'),
      ...inside,
    ]),
  ]
}

/** For inside http { }. */
export function answerPlaces(): Directive {
  return block(`map $uri $${PLACES}`, 'Where the answer to a bad request stands.', [
    line(`'' ${INTERNAL}`, 'no address could be read: it can only be sent to another'),
    line(`default ${NAMED}`, 'a jump that changes nothing'),
  ])
}

const PLACES = 'forebay_answers'
const NAMED = '@forebay_'
const INTERNAL = '/.forebay/answers/'
