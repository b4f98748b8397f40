/** What `tasks.ended` holds: by it and by age rows leave. */
export const OPEN = 0
export const ENDED = 1
/** Parked, as far as is known: it leaves only once it is not. */
export const PARKED = 2
