/** Records of one partition that are delivered and not settled. */
export const WINDOW_RECORDS_MAX = 2_000
/** Their bytes. */
export const WINDOW_BYTES_MAX = 8 * 1024 * 1024
/** A longer wait than this is one in the parking place, where there is one. ms */
export const PARK_AFTER_MS = 5_000
