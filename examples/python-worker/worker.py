"""A Forebay worker in Python: the worker protocol (docs/workers.md) from hello to drain, on grpcio and generated code.

    worker.py [host:port] [queue]     default: 127.0.0.1:8081 shout

It answers each task with its text in capitals, and says each line of it as soon as it has it.
"""

import asyncio
import logging
import random
import signal
import sys
from collections import deque
from dataclasses import dataclass, field

import grpc
from forebay.worker.v1 import worker_pb2 as pb
from forebay.worker.v1 import worker_pb2_grpc

log = logging.getLogger("worker")


async def shout(task, run):
    """The work itself: returns (payload, content type), or raises. `run` takes what there is to say before that."""
    try:
        lines = task.payload.decode().splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise FinalError(f"the task is not UTF-8: {error.reason}") from error
    for number, line in enumerate(lines):
        if len(lines) > 1:
            run.progress(number / len(lines), f"line {number + 1} of {len(lines)}")
            await run.chunk(line.upper().encode(), TEXT)
    return "".join(lines).upper().encode(), TEXT


TEXT = "text/plain; charset=utf-8"


class FinalError(Exception):
    """The request is at fault: no retry. Any other exception is retried as the queue says."""


# Runs are compared by identity: a lease is only unique within its session.
@dataclass(eq=False)
class Run:
    """One attempt under way. Its session is where its outcome goes, or nowhere."""

    attempt: pb.Attempt
    session: "Session"
    work: asyncio.Task = field(default=None)
    # Sizes of chunks that are sent and not known to be durable, and how many are.
    road: deque = field(default_factory=deque)
    kept_chunks: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def progress(self, fraction, message=""):
        """How far it has come, for whoever watches: 0 to 1, None where nobody knows."""
        if self.session.chunk_bytes_max > 0:
            self.say(progress=pb.Progress(fraction=fraction, message=message))

    async def chunk(self, payload, content_type=""):
        """A piece of the answer ahead of the result. Waits while too much of this run is on the road."""
        limit = min(self.session.chunk_bytes_max, self.session.chunk_window_bytes)
        if len(payload) > limit:
            raise ValueError(f"a chunk of {len(payload)} bytes; this server takes {limit}")
        while sum(self.road) + len(payload) > self.session.chunk_window_bytes:
            self.room.clear()
            await self.room.wait()
        self.road.append(len(payload))
        self.say(chunk=pb.Chunk(payload=payload, content_type=content_type))

    def kept(self, chunks):
        while self.kept_chunks < chunks and self.road:
            self.road.popleft()
            self.kept_chunks += 1
        self.room.set()

    def say(self, **content):
        self.session.outputs.append(pb.Output(lease=self.attempt.lease, **content))
        self.session.wake.set()


class Worker:
    CONCURRENCY = 16
    GRACE_S = 10.0
    REDIAL_FIRST_S, REDIAL_MAX_S = 0.25, 10.0
    STEADY_S = 5.0

    def __init__(self, server, handlers):
        self.server = server
        self.handlers = handlers
        # Slots that are neither given away as credits nor taken by a handler. Handlers whose session died keep theirs.
        self.free = self.CONCURRENCY
        self.stopping = asyncio.Event()
        self.session = None

    def stop(self):
        self.stopping.set()
        if self.session:
            self.session.leave()

    async def serve(self):
        """Dials again and again until stopped: exponential backoff with full jitter."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not self.stopping.is_set():
            began = loop.time()
            try:
                await self.dial()
            except (grpc.aio.AioRpcError, asyncio.TimeoutError, ConnectionError) as error:
                log.warning("%s: %s", self.server, describe(error))
            failures = 1 if loop.time() - began > self.STEADY_S else failures + 1
            ceiling = min(self.REDIAL_MAX_S, self.REDIAL_FIRST_S * 2 ** min(failures - 1, 20))
            await wait(self.stopping, random.uniform(0, ceiling))

    async def dial(self):
        # Heartbeats travel inside the stream: HTTP/2 keepalive stays off.
        options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
        async with grpc.aio.insecure_channel(self.server, options) as channel:
            self.session = Session(self, worker_pb2_grpc.WorkerServiceStub(channel).Session())
            try:
                await self.session.run()
            finally:
                self.session.over()
                self.session = None

    def slot_freed(self):
        self.free += 1
        if self.session:
            self.session.wake.set()


class Session:
    """One stream: reads attempts, writes outcomes and credits, and says something when it would else be silent."""

    WELCOME_S = 10.0
    ARRIVALS_S = 0.1

    def __init__(self, worker, call):
        self.worker = worker
        self.call = call
        self.runs = {}
        self.outputs = []
        self.outcomes = []
        self.credits = 0
        self.wake = asyncio.Event()
        self.leaving = False
        self.said_draining = False
        self.may_arrive = False
        self.heartbeat_s = self.WELCOME_S
        self.result_bytes_max = 0
        # 0: this server takes no partial output.
        self.chunk_bytes_max = self.chunk_window_bytes = 0

    async def run(self):
        self.credits, self.worker.free = self.worker.free, 0
        hello = pb.Hello(queues=list(self.worker.handlers), worker="python-worker")
        await self.call.write(pb.SessionRequest(hello=hello, credits=self.credits))
        message = await self.read(self.WELCOME_S)
        if message is None or not message.HasField("welcome"):
            raise ConnectionError("its first message had no welcome")
        self.heartbeat_s = message.welcome.heartbeat_ms / 1000
        self.result_bytes_max = message.welcome.result_bytes_max
        self.chunk_bytes_max = message.welcome.chunk_bytes_max
        self.chunk_window_bytes = message.welcome.chunk_window_bytes
        lease_s = message.welcome.lease_ms / 1000
        log.info("connected to %s", self.worker.server)
        writer = asyncio.create_task(self.write())
        try:
            while message is not None:
                self.take(message)
                message = await self.read(lease_s)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def read(self, within_s):
        """The next message, None at the end of the stream. Silence beyond the lease ends the session."""
        message = await asyncio.wait_for(self.call.read(), within_s)
        if message is not grpc.aio.EOF:
            return message
        # The stream is over; its status says whether that was meant.
        if await self.call.code() != grpc.StatusCode.OK:
            raise ConnectionError(f"{(await self.call.code()).name}: {await self.call.details()}")
        return None

    def take(self, message):
        for attempt in message.attempts:
            self.begin(attempt)
        for cancel in message.cancels:
            run = self.runs.pop(cancel.lease, None)
            if run:
                run.work.cancel()
        for kept in message.kept:
            if kept.lease in self.runs:
                self.runs[kept.lease].kept(kept.chunks)
        if message.drain:
            self.leave()

    def begin(self, attempt):
        handler = self.worker.handlers.get(attempt.queue)
        if self.credits == 0 or handler is None:
            self.answer(attempt.lease, failure(f"not taken: {attempt.queue}"))
            return
        self.credits -= 1
        run = self.runs[attempt.lease] = Run(attempt, self)
        run.work = asyncio.create_task(self.work(run, handler))

    async def work(self, run, handler):
        """Exactly one outcome for a lease that is still ours; none for one that was cancelled or lost."""
        try:
            end = await self.end_of(run, handler)
        finally:
            self.worker.slot_freed()
        if self.runs.get(run.attempt.lease) is run:
            del self.runs[run.attempt.lease]
            self.answer(run.attempt.lease, end)

    async def end_of(self, run, handler):
        try:
            payload, content_type = await handler(run.attempt, run)
        except FinalError as error:
            return failure(str(error), pb.FAILURE_KIND_FINAL)
        except Exception as error:  # whatever a handler raises is an outcome, never the end of the worker
            return failure(f"{type(error).__name__}: {error}")
        if len(payload) > self.result_bytes_max:
            return failure(f"the result has {len(payload)} bytes, too many", pb.FAILURE_KIND_DEAD)
        return {"success": pb.Success(payload=payload, content_type=content_type)}

    def answer(self, lease, end):
        self.outcomes.append(pb.Outcome(lease=lease, **end))
        self.wake.set()

    async def write(self):
        """Whatever gathered since the last frame goes out together; a silent heartbeat's time sends an empty one."""
        while True:
            await wait(self.wake, self.heartbeat_s)
            self.wake.clear()
            credits = 0
            if not self.leaving:
                credits, self.worker.free = self.worker.free, 0
                self.credits += credits
            frame = pb.SessionRequest(credits=credits)
            # No chunk may follow the outcome of its attempt.
            self.outputs = fill(frame, frame.outputs, self.outputs)
            if not self.outputs:
                self.outcomes = fill(frame, frame.outcomes, self.outcomes)
            frame.draining = self.leaving and not self.said_draining
            self.said_draining = self.leaving
            await self.call.write(frame)
            if self.outputs or self.outcomes:
                self.wake.set()
            elif self.leaving and not self.runs and not self.may_arrive:
                await self.call.done_writing()
                return

    def leave(self):
        """Takes no more, finishes what it has, half-closes. For our own stop and for a server's drain."""
        if self.leaving:
            return
        self.leaving = self.may_arrive = True
        self.wake.set()
        loop = asyncio.get_running_loop()
        # Attempts that were sent before the server knew may still be on the road.
        loop.call_later(self.ARRIVALS_S, self.settled)
        loop.call_later(self.worker.GRACE_S, self.hand_back)

    def settled(self):
        self.may_arrive = False
        self.wake.set()

    def hand_back(self):
        """The grace time is over: somebody else shall have what is left, at once."""
        for lease, run in list(self.runs.items()):
            del self.runs[lease]
            self.answer(lease, failure("the worker was stopped before it had finished"))
            run.work.cancel()

    def over(self):
        """The session is gone, and with it every lease and every unspent credit."""
        for run in self.runs.values():
            run.work.cancel()
        self.runs.clear()
        self.worker.free += self.credits
        self.credits = 0


FRAME_BYTES_MAX = 1024 * 1024


def fill(frame, part, pieces):
    """Moves pieces into a part of the frame while it has room for them; one larger piece goes alone. The rest is left."""
    size, count = frame.ByteSize(), 0
    for piece in pieces:
        size += piece.ByteSize()
        if size > FRAME_BYTES_MAX and (count > 0 or frame.outputs):
            break
        count += 1
    part.extend(pieces[:count])
    return pieces[count:]


def failure(message, kind=pb.FAILURE_KIND_RETRYABLE):
    return {"failure": pb.Failure(message=message[:4096], kind=kind)}


def describe(error):
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or "nothing was heard for too long"


async def wait(event, within_s):
    """Until the event is set or the time is over."""
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except asyncio.TimeoutError:
        pass


async def main():
    server = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8081"
    queue = sys.argv[2] if len(sys.argv) > 2 else "shout"
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stdout)
    worker = Worker(server, {queue: shout})
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, worker.stop)
    await worker.serve()
    log.info("stopped")


if __name__ == "__main__":
    asyncio.run(main())
