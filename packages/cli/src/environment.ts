/**
 * The only file that reads the environment. Everything is FOREBAY_…; what is not listed here is the twin of a key of
 * forebay.yaml (`config/overrides.ts`).
 */
export interface Environment {
  /** FOREBAY_CONFIG: the configuration file. */
  readonly config: string | undefined
  /** FOREBAY_URL: the gateway that `submit` and `get` talk to. */
  readonly url: string | undefined
  /** FOREBAY_KEY: the access key they show. */
  readonly key: string | undefined
  /** FOREBAY_LOG_LEVEL: of `up`. */
  readonly logLevel: string | undefined
  /** Every other variable with our prefix, in the order of the platform. */
  readonly twins: ReadonlyMap<string, string>
}

export const PREFIX = 'FOREBAY_'

export function readEnvironment(): Environment {
  const { FOREBAY_CONFIG, FOREBAY_URL, FOREBAY_KEY, FOREBAY_LOG_LEVEL, ...rest } = process.env
  const twins = new Map<string, string>()
  for (const [name, value] of Object.entries(rest)) {
    if (name.startsWith(PREFIX) && value !== undefined && value !== '') twins.set(name, value)
  }
  return {
    config: given(FOREBAY_CONFIG),
    url: given(FOREBAY_URL),
    key: given(FOREBAY_KEY),
    logLevel: given(FOREBAY_LOG_LEVEL),
    twins,
  }
}

/** An empty variable is one that is not set: that is how people switch one off in a compose file. */
function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}
