"""Counts the rows of forebay.edge.access with Spark, each row once.

spark_access.py BROKERS TOPIC            all that is there, as a batch
spark_access.py BROKERS TOPIC FOLDER     what came since the last run with this FOLDER, as a stream that ends by itself

The Kafka connector comes by `--packages org.apache.spark:spark-sql-kafka-0-10_2.13:VERSION` of spark-submit, or by
SPARK_JARS, a list of files. Prints one JSON document.
"""

import json
import os
import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

# Fields that are not named here are skipped, and those that a record does not have are null, as is a value of another type.
ROW = """
  kind STRING, time TIMESTAMP, server STRING, host STRING, client STRING,
  method STRING, path STRING, query STRING, protocol STRING, status INT,
  requestBytes BIGINT, responseBytes BIGINT, seconds DOUBLE,
  upstream STRING, upstreamStatus INT, connectSeconds DOUBLE, headerSeconds DOUBLE, upstreamSeconds DOUBLE,
  tls STRING, cipher STRING, cache STRING, userAgent STRING, referer STRING,
  requestId STRING, trace STRING, task STRING, connection BIGINT, connectionRequests BIGINT, tags STRING,
  reason STRING, bytes STRING, lines BIGINT
"""
# Rows of kind dropped are no lines: several may stand at one place, and a line as well. `told` is '' for all others.
IDENTITY = ["source", "first", "told"]
# How long after a record the same one may come again: as long as a collector may be down.
REPEATS_WITHIN = "1 day"


def rows_of(records: DataFrame) -> DataFrame:
    """One row a record, with its place. Records that no collector wrote have no source."""
    header = lambda name: f.element_at(f.filter("headers", lambda one: one.key == name), 1).value.cast("string")
    place = f.split(header("fb-sequence"), "-")
    value = f.col("value").cast("string")
    row = f.from_json(value, ROW)
    return records.select(
        f.col("timestamp").alias("published"),
        header("fb-source").alias("source"),
        f.try_element_at(place, f.lit(1)).cast("bigint").alias("first"),
        f.try_element_at(place, f.lit(2)).cast("bigint").alias("end"),
        f.when(row.kind == "dropped", value).otherwise("").alias("told"),
        row.alias("row"),
    ).select("published", *IDENTITY, "end", "row.*")


def is_row(rows: DataFrame) -> DataFrame:
    return rows.where("source IS NOT NULL AND first IS NOT NULL AND kind IS NOT NULL")


def report_on(records: int, rows: DataFrame) -> dict:
    """`rows` without repeats."""
    kinds = rows.groupBy("kind").count().collect()
    statuses = (
        rows.where("kind = 'access'")
        .groupBy("status")
        .agg(f.count("*").alias("count"), f.percentile("seconds", f.lit(0.99)).alias("p99"))
        .orderBy("status")
        .collect()
    )
    lost = rows.where("kind = 'dropped'").agg(f.sum("lines")).first()[0]
    return {
        "records": records,
        "kinds": {one["kind"]: one["count"] for one in kinds},
        "statuses": [one.asDict() for one in statuses],
        "lost": lost or 0,
    }


def batch(spark: SparkSession, source: dict) -> dict:
    records = spark.read.format("kafka").options(**source, startingOffsets="earliest").load()
    rows = is_row(rows_of(records)).dropDuplicates(IDENTITY).cache()
    return report_on(records.count(), rows)


def stream(spark: SparkSession, source: dict, folder: str) -> dict:
    records = spark.readStream.format("kafka").options(**source, startingOffsets="earliest").load()
    rows = (
        is_row(rows_of(records))
        .withWatermark("published", REPEATS_WITHIN)
        .dropDuplicatesWithinWatermark(IDENTITY)
        .writeStream.format("parquet")
        .option("path", f"{folder}/rows")
        .option("checkpointLocation", f"{folder}/checkpoint")
        .trigger(availableNow=True)
        .start()
    )
    rows.awaitTermination()
    read = sum(one["numInputRows"] for one in rows.recentProgress)
    return report_on(read, spark.read.parquet(f"{folder}/rows"))


def main(brokers: str, topic: str, folder: str | None = None) -> None:
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.jars", os.environ.get("SPARK_JARS", ""))
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "512m")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    source = {"kafka.bootstrap.servers": brokers, "subscribe": topic, "includeHeaders": "true"}
    print(json.dumps(batch(spark, source) if folder is None else stream(spark, source, folder)))
    spark.stop()


main(*sys.argv[1:])
