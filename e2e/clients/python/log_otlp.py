"""log_otlp.py URL: logs as any Python service would, with the standard logging module and OpenTelemetry's exporter over HTTP."""

import logging
import sys

from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags


def main(url: str) -> None:
    provider = LoggerProvider(resource=Resource.create({"service.name": "ledger", "host.name": "web-2"}))
    set_logger_provider(provider)
    provider.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(endpoint=url, compression=Compression.Gzip))
    )
    logger = logging.getLogger("orders")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(LoggingHandler(logger_provider=provider))
    context = SpanContext(
        trace_id=0x4BF92F3577B34DA6A3CE929D0E0E4736,
        span_id=0x00F067AA0BA902B7,
        is_remote=True,
        trace_flags=TraceFlags(1),
    )
    with trace.use_span(NonRecordingSpan(context)):
        logger.error("no answer from %s", "grüße", extra={"forebay.task": "t-1", "attempt": 3, "sizes": [1, 2]})
    for serial in range(1000):
        logger.info("line %d", serial, extra={"serial": serial})
    provider.shutdown()


main(sys.argv[1])
