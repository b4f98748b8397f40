"""Counts the rows of forebay.edge.access with ClickHouse inside this process (chdb), each row once.

clickhouse_access.py BROKERS TOPIC GROUP [RECORDS]

It ends when it has read so many records, or when none came for 30 seconds.

Uses clickhouse.sql, with one difference: a server moves records from its Kafka table to the views in the background, and
chdb has nothing that runs there. So here the views hang on a table that keeps nothing, and we move the records.
Prints one JSON document.
"""

import json
import sys
import time
from pathlib import Path

from chdb import session

SQL = Path(__file__).with_name("clickhouse.sql").read_text()
# What the Kafka table knows of a record beside its value.
BESIDE = "_topic, _partition, _offset, _headers.name, _headers.value, _raw_message, _error"
# How long nothing comes before we take it that we are at the end.
QUIET_SECONDS = 30

STATUSES = """
  SELECT status, count() AS count, quantileExactInclusive(0.99)(seconds) AS p99
  FROM edge_rows FINAL WHERE kind = 'access' GROUP BY status ORDER BY status NULLS FIRST
"""


def main(brokers: str, topic: str, group: str, records: str = "inf") -> None:
    clickhouse = session.Session()

    def ask(sql: str) -> list[dict]:
        text = clickhouse.query(f"{sql} SETTINGS output_format_json_quote_64bit_integers = 0", "JSONEachRow").bytes()
        return [json.loads(line) for line in text.decode().splitlines()]

    def number(sql: str) -> int:
        return next(iter(ask(sql)[0].values())) or 0

    filled_in = SQL.replace("{brokers}", brokers).replace("{topic}", topic).replace("{group}", group)
    queue, *others = [statement for statement in filled_in.split(";\n") if statement.strip()]
    make_queue(clickhouse, queue.replace("TABLE edge_queue", "TABLE edge_kafka"))
    direct = "SETTINGS stream_like_engine_allow_direct_select = 1"
    clickhouse.query(f"CREATE TABLE edge_queue ENGINE = Null AS SELECT *, {BESIDE} FROM edge_kafka LIMIT 0 {direct}")
    clickhouse.query("CREATE TABLE arrived (offset UInt64) ENGINE = Memory")
    clickhouse.query("CREATE MATERIALIZED VIEW arrive TO arrived AS SELECT _offset AS offset FROM edge_queue")
    for statement in others:
        clickhouse.query(statement)
    arrived, came = 0, time.monotonic()
    while arrived < float(records) and time.monotonic() - came < QUIET_SECONDS:
        clickhouse.query(f"INSERT INTO edge_queue SELECT *, {BESIDE} FROM edge_kafka {direct}")
        before, arrived = arrived, number("SELECT count() FROM arrived")
        if arrived > before:
            came = time.monotonic()
    print(
        json.dumps(
            {
                "version": ask("SELECT version() AS version")[0]["version"],
                "records": arrived,
                "kinds": {
                    one["kind"]: one["count"]
                    for one in ask("SELECT kind, count() AS count FROM edge_rows FINAL GROUP BY kind")
                },
                "statuses": ask(STATUSES),
                "lost": number("SELECT sum(lines) AS lines FROM edge_rows FINAL WHERE kind = 'dropped'"),
                "unread": number("SELECT count() FROM edge_unread FINAL"),
            }
        )
    )
    clickhouse.close()


def make_queue(clickhouse: session.Session, statement: str) -> None:
    """chdb makes the table, and then complains that nothing can run in the background."""
    try:
        clickhouse.query(statement)
    except Exception as problem:
        if "Shutdown was called" not in str(problem):
            raise


main(*sys.argv[1:])
