import type { Schedule } from '../schedule.ts'

/** Lets simulated time follow real time, for tests that wait by the clock on the wall. Returns how to end it. */
export function keepPace(schedule: Schedule, speed: number): () => void {
  const beganMs = performance.now()
  let ended = false
  const go = async () => {
    while (!ended) {
      await schedule.run((performance.now() - beganMs) * speed)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }
  void go()
  return () => {
    ended = true
  }
}
