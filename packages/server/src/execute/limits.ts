/**
 * Largest result that a worker or target may answer with, unless told otherwise: a result must fit a record of 1 MiB
 * (Kafka's default) with its headers. bytes
 */
export const RESULT_BYTES_MAX_DEFAULT = 1024 * 1024 - 16 * 1024

/** Longest wait before the next attempt that a worker or target may ask for; a longer one is cut to it. ms */
export const RETRY_AFTER_MAX_MS = 60 * 60 * 1000
