/**
 * - `callbacks.number`: the order of registrations. `next_at_ms`: with 'due', not before; of a row that is handed out, the end of its
 *   lease. `taker`: who has it, or had it last and has not said what came of it.
 * - `generation`, `task_state`: of the last result that its task is known to have; null while there is none.
 * - `attempts`: the delivery log, an array of objects, oldest first.
 * - `callbacks_disabled`: whose URLs have answered 410. URLs can be longer than what an index holds, so their hashes are found.
 */
export function callbackTables(schema: string): string {
  return `
    CREATE TABLE ${schema}.callbacks (
      id text COLLATE "C" PRIMARY KEY,
      number bigint GENERATED ALWAYS AS IDENTITY,
      task_id text COLLATE "C" NOT NULL,
      owner text NOT NULL,
      queue text NOT NULL,
      url text NOT NULL,
      host text COLLATE "C" NOT NULL,
      keep_until_ms bigint NOT NULL,
      state text NOT NULL,
      tries integer NOT NULL DEFAULT 0,
      next_at_ms bigint,
      due_since_ms bigint,
      taker text,
      generation integer,
      task_state text,
      changed_at_ms bigint NOT NULL,
      attempts jsonb NOT NULL DEFAULT '[]'
    ) WITH (fillfactor = 80);
    CREATE INDEX callbacks_by_task ON ${schema}.callbacks (task_id);
    CREATE INDEX callbacks_by_number ON ${schema}.callbacks (number);
    CREATE INDEX callbacks_due ON ${schema}.callbacks (host, next_at_ms) WHERE state = 'due';
    CREATE INDEX callbacks_next ON ${schema}.callbacks (next_at_ms) WHERE state = 'due';
    CREATE INDEX callbacks_taken ON ${schema}.callbacks (host, next_at_ms) WHERE taker IS NOT NULL;
    CREATE INDEX callbacks_by_url ON ${schema}.callbacks (owner, hashtextextended(url, 0));
    CREATE INDEX callbacks_by_age ON ${schema}.callbacks (keep_until_ms);
    CREATE INDEX callbacks_done ON ${schema}.callbacks (changed_at_ms) WHERE state IN ('delivered', 'given-up');

    CREATE TABLE ${schema}.callbacks_disabled (
      owner text NOT NULL,
      url text NOT NULL,
      at_ms bigint NOT NULL
    );
    CREATE UNIQUE INDEX callbacks_disabled_by_url ON ${schema}.callbacks_disabled (owner, hashtextextended(url, 0));
  `
}
