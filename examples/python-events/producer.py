"""Publishes events as docs/events.md has them on the wire: CloudEvents' Kafka binding, on confluent-kafka and cloudevents.

    producer.py BOOTSTRAP TOPIC

Reads one event a line, as JSON: {"type": "account_closed", "key": "u-1", "data": {"userId": "u-1"}}. "structured": true
sends it as one JSON document instead; "id" and other attributes of CloudEvents may be given. Prints one line for each
event that the log has: its id, partition and offset.
"""

import json
import sys

from cloudevents.core.bindings.kafka import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Producer

SOURCE = "/python-service"

CONFIG = {
    # As Java's client and Forebay choose partitions; librdkafka's own choice would be another, and the order of a key lost.
    "partitioner": "murmur2_random",
    # Acknowledged by all replicas that are in sync, in the order of the calls, and without repetitions by retries.
    "enable.idempotence": True,
    "linger.ms": 5,
}


class EventProducer:
    def __init__(self, bootstrap, topic):
        self.topic = topic
        self.failed = 0
        self.producer = Producer({"bootstrap.servers": bootstrap, **CONFIG})

    def publish(self, type, data, key=None, structured=False, **attributes):
        """Hands one event over; `told` hears what became of it. Blocks while librdkafka's buffer is full."""
        if key is not None:
            attributes["partitionkey"] = key
        event = CloudEvent(
            {"source": SOURCE, "type": type, "datacontenttype": "application/json", **attributes}, data
        )
        message = to_structured_event(event) if structured else to_binary_event(event)
        report = lambda error, sent: self.told(event.get_id(), error, sent)
        while True:
            try:
                self.producer.produce(
                    self.topic, message.value, message.key, headers=list(message.headers.items()), on_delivery=report
                )
                break
            except BufferError:
                self.producer.poll(0.1)
        self.producer.poll(0)

    def told(self, id, error, sent):
        if error is not None:
            self.failed += 1
            print(f"not published {id}: {error}", file=sys.stderr, flush=True)
        else:
            print(f"published {id} {sent.partition()} {sent.offset()}", flush=True)

    def flush(self):
        self.producer.flush()


def main():
    bootstrap, topic = sys.argv[1:]
    producer = EventProducer(bootstrap, topic)
    for line in sys.stdin:
        producer.publish(**json.loads(line))
        producer.flush()
    sys.exit(1 if producer.failed else 0)


if __name__ == "__main__":
    main()
