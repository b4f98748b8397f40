/** OpenTelemetry's severity number of a level that a logger wrote as a word or as pino's number; 0 for what nobody knows. */
export function severityOf(level: unknown): number {
  if (typeof level === 'number') return severityOfPino(level)
  if (typeof level !== 'string') return 0
  return BY_NAME.get(level.trim().toLowerCase()) ?? 0
}

/** 'info' for 9 to 12; '' for 0 and what is out of range. */
export function severityName(severity: number): string {
  return severity >= 1 && severity <= 24 ? NAMES[(severity - 1) >> 2]! : ''
}

/** pino's and bunyan's levels are 10 (trace) to 60 (fatal); ones between them count as the one below. */
function severityOfPino(level: number): number {
  const step = Math.min(Math.floor(level / 10), NAMES.length)
  return step >= 1 ? (step - 1) * 4 + 1 : 0
}

const NAMES = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

const BY_NAME: ReadonlyMap<string, number> = new Map([
  ...NAMES.map((name, index) => [name, index * 4 + 1] as const),
  ...(['verbose', 'silly', 'finest'] as const).map((name) => [name, 1] as const),
  ['notice', 10],
  ['informational', 9],
  ['information', 9],
  ['warning', 13],
  ['err', 17],
  ['severe', 17],
  ['dpanic', 18],
  ['crit', 21],
  ['critical', 21],
  ['alert', 22],
  ['panic', 22],
  ['emerg', 24],
  ['emergency', 24],
])
