import type { Task } from '../task.ts'

/**
 * How long what lies outside the log is needed. Nothing asks afterwards who still names a blob: each put says at the
 * start how long its record can matter.
 *
 * - An answer: as long as results are kept.
 * - A body: until the task's deadline; no attempt begins later. Its letter, if it gets one, pins it before that.
 */

/** Clocks that differ, results that are published late, sweeps that come late. ms */
const GRACE_MS = 60 * 60 * 1000

/** `keepMs` of the adapters. */
export function answerKeptMs(retentionMs: number): number {
  return retentionMs + GRACE_MS
}

export function bodyKeptMs({ budgetMs }: Pick<Task, 'budgetMs'>): number {
  return budgetMs + GRACE_MS
}
