"""Reads events as docs/events.md has them on the wire, as one group, on confluent-kafka and cloudevents.

    consumer.py BOOTSTRAP GROUP TOPIC

Prints each event as one line of JSON. A position is committed after its event was handled and never before, so an event
may come again after a crash, with the same source and id.
"""

import json
import signal
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, from_structured_event
from cloudevents.core.exceptions import CloudEventValidationError
from confluent_kafka import Consumer

CONFIG = {
    # A new group begins at the earliest event that is kept.
    "auto.offset.reset": "earliest",
    # What `store_offsets` named is committed every so often, and on close; nothing else is.
    "enable.auto.commit": True,
    "auto.commit.interval.ms": 500,
    "enable.auto.offset.store": False,
}
POLL_S = 0.2


def read_event(record):
    """Raises ValueError or CloudEventValidationError where the record is no event."""
    message = KafkaMessage(headers=dict(record.headers() or []), key=record.key(), value=record.value() or b"")
    content_type = message.headers.get("content-type", b"").decode()
    if content_type.startswith("application/cloudevents+json"):
        return from_structured_event(message)
    return from_binary_event(message)


def handle(event, record):
    """The work itself."""
    attributes = {name: str(value) for name, value in event.get_attributes().items() if name != "time"}
    attributes["time"] = event.get_time().isoformat()
    said = {"attributes": attributes, "data": event.get_data(), "partition": record.partition()}
    print(json.dumps(said), flush=True)


def main():
    bootstrap, group, topic = sys.argv[1:]
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    # The position of one of our groups on a topic has this name too: `forebay` and Kafka's tools see them alike.
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{group}.{topic}", **CONFIG})
    consumer.subscribe([topic])
    try:
        while not stopping:
            record = consumer.poll(POLL_S)
            if record is None:
                continue
            if record.error():
                print(record.error(), file=sys.stderr, flush=True)
                continue
            try:
                handle(read_event(record), record)
            except (ValueError, CloudEventValidationError) as error:
                # It blocks nothing behind it. A service of yours would rather keep it in a dead-letter topic.
                print(f"no event at {record.partition()}:{record.offset()}: {error}", file=sys.stderr, flush=True)
            consumer.store_offsets(record)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
