"""publish_events.py URL: publishes by HTTP as any Python service would, with the package cloudevents and what Python has.

Prints the answer to each request as one line of JSON: the status, then the body.
"""

import json
import sys
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

WITHIN_S = 30


def main(url: str) -> None:
    told = event("binary", {"userId": "grüße"}, subject='50 % "off" – ü😀', partitionkey="u-1", tenant="blau")
    send(url, to_binary_event(told))
    send(url, to_structured_event(event("structured", {"userId": "u-2"}, partitionkey="u-1")))
    send(url, to_binary_event(event("text", "plain\n", datacontenttype="text/plain", type="noted")))
    send(url, to_binary_event(event("bytes", b"\x00\xff", datacontenttype="application/octet-stream", type="noted")))
    send(url, to_structured_event(event("refused", {"userId": 7})))
    documents = [to_structured_event(event(f"batch-{n}", {"userId": "u-1"})).body for n in range(3)]
    batch = b"[" + b",".join(documents) + b"]"
    post(url, {"content-type": "application/cloudevents-batch+json"}, batch)


def event(id: str, data, **attributes) -> CloudEvent:
    time = datetime(2026, 11, 21, 9, 30, 0, 123456, timezone(timedelta(hours=1)))
    given = {"id": id, "source": "/python", "type": "account_created", "datacontenttype": "application/json", "time": time}
    return CloudEvent({**given, **attributes}, data)


def send(url: str, message) -> None:
    post(url, message.headers, message.body)


def post(url: str, headers, body: bytes) -> None:
    request = urllib.request.Request(f"{url}/v1/events", data=body, headers=dict(headers), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
            print(json.dumps([answer.status, json.load(answer)]), flush=True)
    except urllib.error.HTTPError as error:
        print(json.dumps([error.code, json.load(error)]), flush=True)


main(sys.argv[1])
