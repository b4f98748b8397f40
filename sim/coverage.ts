/** Which corners of the system the runs have been in, and how often. */
export function mergeCoverage(into: Map<string, number>, from: ReadonlyMap<string, number>): void {
  for (const [corner, times] of from) into.set(corner, (into.get(corner) ?? 0) + times)
}

/** What every long run should have seen: a corner that is never reached is one that is not tested. */
export const CORNERS_WANTED: readonly string[] = [
  'fault crash × gateway',
  'fault crash × dispatcher',
  'fault stop × gateway',
  'fault stop × dispatcher',
  'gateway stopped',
  'dispatcher stopped',
  'fault pause × gateway',
  'fault pause × dispatcher',
  'fault suspend × gateway',
  'fault suspend × dispatcher',
  'fault clock × gateway',
  'fault clock × dispatcher',
  'fault publish × log',
  'fault twice × log',
  'fault outage × log',
  'fault lag × log',
  'fault slow × network',
  'fault expel × dispatcher',
  'fault cut-off × dispatcher',
  'fault store-down × store',
  'fault store-trouble × store',
  'publish refused',
  'publish request-lost',
  'publish answer-lost',
  'publish late',
  'publish twice',
  'store refused',
  'store answer-lost',
  'store request-lost',
  'attempt succeeded',
  'attempt failed',
  'attempt timed-out',
  'attempt worker-lost',
  'attempt cancelled',
  'attempt crashed',
  'executed again',
  'worker answers twice',
  'session expired',
  'commit taken',
  'commit refused',
  'parked delayed',
  'parked backoff',
  'parked behind',
  'parked exhausted',
  'parking park fenced',
  'parking takeLine',
  'wish retry kept',
  'wish release kept',
  'wish skip kept',
  'wish retry taken',
  'redriven',
]

export function formatCoverage(covered: ReadonlyMap<string, number>): string {
  const names = [...new Set([...covered.keys(), ...CORNERS_WANTED])].sort()
  const widest = Math.max(...names.map((name) => name.length))
  const lines = names.map((name) => `  ${name.padEnd(widest)}  ${covered.get(name) ?? 0}`)
  const missed = CORNERS_WANTED.filter((name) => !covered.has(name))
  const verdict = missed.length === 0 ? [] : [`Never reached: ${missed.join(', ')}.`]
  return ['', 'Reached, and how often:', ...lines, ...verdict].join('\n')
}
