import { nearestName } from '../nearest-name.ts'

/**
 * A piece of forebay.yaml, declared once: its JSON Schema for editors, how it is read and checked, its default. `Given`
 * is what people may write, `Value` what the program gets.
 */
export interface Field<Given, Value> {
  readonly schema: JsonSchema
  /** How a flag or an environment variable is turned into the given form. */
  readonly fromText: 'as-is' | 'commas' | 'yaml'
  /** Members of an object, by name. */
  readonly members?: Readonly<Record<string, Field<unknown, unknown>>>
  /** What each entry of a map or list is. */
  readonly item?: Field<unknown, unknown>
  /** Paths in it are relative to the file it stands in. */
  readonly isPath?: boolean
  /**
   * `given` is undefined or null where nothing was given: the default then. What is wrong is refused at `place`; the
   * value returned is then only a stand-in, so that the rest can be read and every fault found.
   */
  read(given: unknown, place: Place): Value
  /** Only a type: never set. */
  readonly given?: Given
}

/** Plain JSON: a library of schemas here would be a fifth of what a command loads at its start. */
export type JsonSchema = Readonly<Record<string, unknown>>

export type Path = readonly (string | number)[]

export interface Fault {
  readonly path: Path
  /** Whether the key itself is wrong or what it holds. */
  readonly about: 'key' | 'value'
  readonly value: unknown
  /** What is wrong, as a sentence. */
  readonly message: string
  /** What to write instead. */
  readonly fix: string
}

/** Where in the given form something stands; collects what is wrong there. */
export class Place {
  readonly path: Path
  readonly #faults: Fault[]

  constructor(faults: Fault[], path: Path = []) {
    this.path = path
    this.#faults = faults
  }

  at(...keys: Path): Place {
    return new Place(this.#faults, [...this.path, ...keys])
  }

  refuse(value: unknown, message: string, fix: string, about: Fault['about'] = 'value'): undefined {
    this.#faults.push({ path: this.path, about, value, message, fix })
  }
}

export interface LeafShape<Given, Value> {
  /** Effect, unit, when to change it: shown by editors. */
  readonly about: string
  /** JSON Schema of what may be given. */
  readonly schema: Record<string, unknown>
  /** What stands in where nothing is given. */
  readonly absent: Value
  /** How the default reads in the file, where there is one. */
  readonly written?: unknown
  readonly fromText?: Field<Given, Value>['fromText']
  readonly isPath?: boolean
  /** Undefined when it was refused at `place`. */
  parse(given: NonNullable<unknown>, place: Place): Value | undefined
}

export function leaf<Given, Value>(shape: LeafShape<Given, Value>): Field<Given, Value> {
  const annotations = { description: shape.about, ...(shape.written === undefined ? {} : { default: shape.written }) }
  return {
    schema: { ...shape.schema, ...annotations },
    fromText: shape.fromText ?? 'as-is',
    isPath: shape.isPath ?? false,
    read(given, place) {
      if (given === undefined || given === null) return shape.absent
      const value = shape.parse(given, place)
      return value === undefined ? shape.absent : value
    },
  }
}

// biome-ignore lint/suspicious/noExplicitAny: any field at all; variance allows no other bound
type AnyField = Field<any, any>
export type GivenOf<F extends AnyField> = NonNullable<F['given']>
export type ValueOf<F extends AnyField> = ReturnType<F['read']>

type Members = Readonly<Record<string, AnyField>>
type GivenMembers<M extends Members> = { readonly [K in keyof M]?: GivenOf<M[K]> }
type ValueMembers<M extends Members> = { readonly [K in keyof M]: ValueOf<M[K]> }

/** Unknown keys are refused with the nearest right name; a missing or empty object means all defaults. */
export function object<M extends Members>(about: string, members: M): Field<GivenMembers<M>, ValueMembers<M>> {
  const names = Object.keys(members)
  const properties = Object.fromEntries(names.map((name) => [name, members[name]!.schema]))
  return {
    schema: { type: ['object', 'null'], description: about, properties, additionalProperties: false },
    fromText: 'yaml',
    members,
    read(given, place) {
      const entries = readEntries(given, place)
      for (const name of Object.keys(entries)) {
        if (!Object.hasOwn(members, name)) refuseKey(name, entries[name], names, place.at(name))
      }
      const values = names.map((name) => [
        name,
        members[name]!.read(Object.hasOwn(entries, name) ? entries[name] : undefined, place.at(name)),
      ])
      return Object.fromEntries(values) as ValueMembers<M>
    },
  }
}

export interface MapShape {
  readonly about: string
  readonly namePattern: string
  /** How a name that does not match is refused. */
  readonly nameRule: string
}

export function map<Given, Value>(
  shape: MapShape,
  item: Field<Given, Value>,
): Field<Readonly<Record<string, Given | null>>, ReadonlyMap<string, Value>> {
  const legal = new RegExp(shape.namePattern)
  return {
    schema: {
      type: ['object', 'null'],
      description: shape.about,
      patternProperties: { [shape.namePattern]: item.schema },
      additionalProperties: false,
    },
    fromText: 'yaml',
    item: item as Field<unknown, unknown>,
    read(given, place) {
      const values = new Map<string, Value>()
      for (const [name, entry] of Object.entries(readEntries(given, place))) {
        if (!legal.test(name)) {
          place.at(name).refuse(name, `${quote(name)} is not a name that can be used here.`, shape.nameRule, 'key')
        }
        values.set(name, item.read(entry, place.at(name)))
      }
      return values
    },
  }
}

export function list<Given, Value>(
  shape: { readonly about: string; readonly absent: readonly Value[]; readonly written: readonly Given[] },
  item: Field<Given, Value>,
): Field<readonly Given[], readonly Value[]> {
  return {
    schema: { type: 'array', description: shape.about, items: item.schema, default: shape.written },
    fromText: item.members === undefined ? 'commas' : 'yaml',
    item: item as Field<unknown, unknown>,
    read(given, place) {
      if (given === undefined || given === null) return shape.absent
      if (Array.isArray(given)) return given.map((entry, index) => item.read(entry, place.at(index)))
      place.refuse(given, `${quote(given)} is not a list.`, 'Write a list: [one, two].')
      return shape.absent
    },
  }
}

/** Refuses where nothing is given. */
export function required<Given, Value>(
  field: Field<Given, Value | null>,
  message: string,
  fix: string,
): Field<Given, Value | null> {
  return {
    ...field,
    read(given, place) {
      if (given === undefined || given === null) place.refuse(null, message, fix)
      return field.read(given, place)
    },
  }
}

/** How a given value is shown to people: short, and a string always with its quotes. */
export function quote(given: unknown): string {
  let text: string
  try {
    text = JSON.stringify(given) ?? String(given)
  } catch {
    text = String(given)
  }
  return text.length > QUOTE_LENGTH_MAX ? `${text.slice(0, QUOTE_LENGTH_MAX)}…` : text
}
const QUOTE_LENGTH_MAX = 80

function readEntries(given: unknown, place: Place): Readonly<Record<string, unknown>> {
  if (given === undefined || given === null) return {}
  if (typeof given === 'object' && !Array.isArray(given)) return given as Record<string, unknown>
  place.refuse(given, `${quote(given)} stands where keys and values belong.`, 'Write `key: value` lines below it.')
  return {}
}

function refuseKey(name: string, value: unknown, names: readonly string[], place: Place): void {
  const nearest = nearestName(name, names)
  const fix = nearest === null ? `Known here: ${names.join(', ')}.` : `Did you mean \`${nearest}\`?`
  place.refuse(value, `There is no key ${quote(name)} here.`, fix, 'key')
}
