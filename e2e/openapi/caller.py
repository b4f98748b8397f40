"""Talks to a server with the client that was generated from its own description; says what it saw as JSON."""

import json
import sys

from forebay_api import AuthenticatedClient
from forebay_api.api.callbacks import list_callbacks
from forebay_api.api.platform import is_ready
from forebay_api.api.queues import submit_orders, submit_orders_by_route
from forebay_api.api.tasks import cancel_task, get_result, get_task, submit_task
from forebay_api.models import Accepted, TaskOrders, TaskOrdersLine, TaskOrdersSize
from forebay_api.types import File
from io import BytesIO

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
order = TaskOrders(size=TaskOrdersSize.LARGE, lines=[TaskOrdersLine(sku="a"), TaskOrdersLine(sku="b")])

kept = submit_orders_by_route.sync("ann b/c", client=client, body=order, idempotency_key="one")
again = submit_orders_by_route.sync("ann b/c", client=client, body=order, idempotency_key="one")
assert isinstance(kept, Accepted) and isinstance(again, Accepted)
state = get_task.sync(kept.id, client=client, prefer="wait=10")
result = get_result.sync(kept.id, client=client)
assert isinstance(result, File)
waited = submit_orders.sync(client=client, body=order, prefer="wait=10", forebay_key="ann")
assert isinstance(waited, File)
plain = submit_task.sync_detailed("blobs", client=client, body=File(payload=BytesIO(b"\x00\xff")), prefer="wait=10")

other = TaskOrders(size=TaskOrdersSize.SMALL, lines=[])
mismatch = submit_orders_by_route.sync("ann b/c", client=client, body=other, idempotency_key="one")
ended = cancel_task.sync(kept.id, client=client)
missing = get_task.sync("nothing", client=client)
closed = get_task.sync(kept.id, client=AuthenticatedClient(base_url=sys.argv[1], token="wrong"))

print(
    json.dumps(
        {
            "same": kept.id == again.id,
            "state": state.state,
            "attempts": state.attempts,
            "result": json.loads(result.payload.read()),
            "waited": json.loads(waited.payload.read()),
            "plain": [plain.status_code, plain.content.hex()],
            "ready": is_ready.sync(client=client).ready,
            "callbacks": len(list_callbacks.sync(kept.id, client=client).callbacks),
            "problems": [one.code for one in [mismatch, ended, missing, closed]],
        }
    )
)
