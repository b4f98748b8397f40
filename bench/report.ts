import type { Goal, Row } from './summary.ts'

/** The table for people. */
export function printRows(rows: readonly Row[], shapes: ReadonlyMap<string, string>): void {
  const references = [...new Set(rows.flatMap(({ perSecondRatio }) => Object.keys(perSecondRatio)))]
  const head = ['subject', 'conn.', 'req/s (min–max)', 'p50 ms', 'p99 ms', 'CPU µs/req', 'bad']
  for (const reference of references) head.push(`req/s × ${reference}`, `p50 × ${reference}`)
  const lines = rows.map((row) => [
    row.subject,
    String(row.connections),
    `${Math.round(row.perSecond.median)} (${Math.round(row.perSecond.min)}–${Math.round(row.perSecond.max)})`,
    row.p50Ms.median.toFixed(2),
    row.p99Ms.median.toFixed(2),
    Object.values(row.cpuMicros).map(Math.round).join('+'),
    String(row.bad),
    ...references.flatMap((reference) => [fixed(row.perSecondRatio[reference]), fixed(row.p50Ratio[reference])]),
  ])
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]!.length)))
  const print = (cells: readonly string[]) =>
    console.log(`| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`)
  print(head)
  print(widths.map((width) => '-'.repeat(width)))
  for (const line of lines) print(line)
  console.log()
  for (const [subject, shape] of shapes) console.log(`${subject}: ${shape}`)
}

export function printGoals(goals: readonly Goal[]): void {
  for (const { text, measured, holds } of goals) {
    console.log(`${holds ? 'holds       ' : 'DOES NOT HOLD'} ${text}: ${measured.toFixed(2)}`)
  }
}

const fixed = (figure: number | undefined) => figure?.toFixed(2) ?? ''
