"""client.py TARGET KEY: takes every road of TaskService with grpcio, as any Python service would."""

import sys
import threading

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from forebay.task.v1 import task_pb2 as pb
from forebay.task.v1.task_pb2_grpc import TaskServiceStub

WITHIN_S = 30


def main(target: str, key: str) -> None:
    with grpc.insecure_channel(target) as channel:
        tasks = Tasks(TaskServiceStub(channel), (("authorization", f"Bearer {key}"),))
        tasks.submit_and_get()
        tasks.submit_and_wait()
        tasks.short_deadline()
        tasks.bad_end()
        tasks.details_of_errors()
        tasks.watch_and_resume()
        tasks.submit_stream()
        tasks.cancel()


class Tasks:
    def __init__(self, stub: TaskServiceStub, metadata) -> None:
        self.stub = stub
        self.how = {"metadata": metadata, "timeout": WITHIN_S}
        self.metadata = metadata

    def submit_and_get(self) -> None:
        request = shout("grüße")
        request.wait.CopyFrom(Duration(seconds=20))
        answer = self.stub.Submit(request, **self.how)
        equal(answer.task.state, pb.TASK_STATE_SUCCEEDED)
        equal(answer.result.payload.decode(), "GRÜSSE")
        got = self.stub.Get(pb.GetRequest(id=answer.task.id), **self.how)
        equal(got.result, answer.result)
        equal(got.task.finished_at.seconds > 0, True)
        ok("submit and get")

    def submit_and_wait(self) -> None:
        submit = shout("hello")
        submit.idempotency_key = "python-1"
        answer = self.stub.SubmitAndWait(pb.SubmitAndWaitRequest(submit=submit), **self.how)
        equal(answer.result.payload, b"HELLO")
        equal(answer.result.content_type, "text/plain; charset=utf-8")
        again = self.stub.SubmitAndWait(pb.SubmitAndWaitRequest(submit=submit), **self.how)
        equal((again.replayed, again.task.id, again.result), (True, answer.task.id, answer.result))
        ok("submit and wait")

    def short_deadline(self) -> None:
        request = pb.SubmitAndWaitRequest(submit=pb.SubmitRequest(queue="slow"))
        error = refused(lambda: self.stub.SubmitAndWait(request, metadata=self.metadata, timeout=3))
        equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        trailers = dict(error.trailing_metadata())
        equal(trailers["forebay-error"], "RESULT_NOT_READY")
        task = self.stub.Get(pb.GetRequest(id=trailers["forebay-task"]), **self.how).task
        equal(task.state in (pb.TASK_STATE_PENDING, pb.TASK_STATE_RUNNING), True)
        self.stub.Cancel(pb.CancelRequest(id=task.id), **self.how)
        ok("a deadline that is too short")

    def bad_end(self) -> None:
        request = pb.SubmitAndWaitRequest(submit=shout(""))
        error = refused(lambda: self.stub.SubmitAndWait(request, **self.how))
        equal(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
        equal(error.details(), "There is nothing to shout.")
        found = Details(error)
        equal(found.info.reason, "WORKER_REFUSED")
        equal(found.info.domain, "forebay")
        equal(found.info.metadata["state"], "failed")
        equal(found.info.metadata["task"], dict(error.trailing_metadata())["forebay-task"])
        equal(found.retry, None)
        ok("a task that ends badly")

    def details_of_errors(self) -> None:
        found = Details(refused(lambda: self.stub.Submit(pb.SubmitRequest(queue="shuot"), **self.how)))
        equal((found.info.reason, found.info.metadata["nearest"]), ("QUEUE_NOT_FOUND", "shout"))
        wrong = shout("hello")
        wrong.delay.CopyFrom(Duration(seconds=-1))
        found = Details(refused(lambda: self.stub.Submit(wrong, **self.how)))
        equal([one.field for one in found.bad.field_violations], ["delay"])
        faulty = pb.SubmitRequest(queue="shout", payload=b"{}", content_type="application/json")
        found = Details(refused(lambda: self.stub.Submit(faulty, **self.how)))
        equal(found.info.reason, "SCHEMA_MISMATCH")
        equal("say" in found.bad.field_violations[0].description, True)
        flaky = pb.SubmitAndWaitRequest(submit=pb.SubmitRequest(queue="flaky"))
        found = Details(refused(lambda: self.stub.SubmitAndWait(flaky, **self.how)))
        equal((found.info.reason, found.retry.retry_delay.seconds), ("WORKER_FAILED", 1))
        stranger = refused(lambda: self.stub.Get(pb.GetRequest(id="x"), timeout=WITHIN_S))
        equal(stranger.code(), grpc.StatusCode.UNAUTHENTICATED)
        ok("details of errors")

    def watch_and_resume(self) -> None:
        task = self.stub.Submit(pb.SubmitRequest(queue="story"), **self.how).task
        stream = self.stub.Watch(pb.WatchRequest(id=task.id), **self.how)
        first, position = [], ""
        for response in stream:
            if response.WhichOneof("event") == "chunk":
                first.append(response.chunk.payload.decode())
                position = response.position
            if len(first) == 2:
                break
        stream.cancel()
        rest, last = [], None
        for response in self.stub.Watch(pb.WatchRequest(id=task.id, after=position), **self.how):
            last = response
            if response.WhichOneof("event") == "chunk":
                rest.append((response.chunk.number, response.chunk.payload.decode()))
        equal((first, rest), (["Once ", "upon "], [(3, "a "), (4, "time.")]))
        equal(last.end.result.payload, b"Once upon a time.")
        equal(list(self.stub.Watch(pb.WatchRequest(id=task.id, after=last.position), **self.how)), [])
        ok("watch and resume")

    def submit_stream(self) -> None:
        everything = threading.Event()

        def requests():
            for sequence in range(1, 201):
                yield pb.SubmitStreamRequest(sequence=sequence, submit=shout(f"task {sequence}"))
            yield pb.SubmitStreamRequest(sequence=201, submit=pb.SubmitRequest(queue="nowhere"))
            # The stream stays open until all is answered: it is not the half-close that brings the answers.
            everything.wait(WITHIN_S)

        ids, problems = {}, {}
        for response in self.stub.SubmitStream(requests(), **self.how):
            if response.WhichOneof("answer") == "submitted":
                ids[response.sequence] = response.submitted.task.id
            else:
                problems[response.sequence] = (response.problem.code, response.problem.retryable)
            if len(ids) + len(problems) == 201:
                everything.set()
        equal((len(ids), len(set(ids.values()))), (200, 200))
        equal(problems, {201: ("QUEUE_NOT_FOUND", False)})
        got = self.stub.Get(pb.GetRequest(id=ids[200], wait=Duration(seconds=20)), **self.how)
        equal(got.result.payload, b"TASK 200")
        ok("submit stream")

    def cancel(self) -> None:
        task = self.stub.Submit(pb.SubmitRequest(queue="slow"), **self.how).task
        answer = self.stub.Cancel(pb.CancelRequest(id=task.id), **self.how)
        equal((answer.task.state, answer.result.problem.code), (pb.TASK_STATE_CANCELLED, "TASK_CANCELLED"))
        equal(self.stub.Cancel(pb.CancelRequest(id=task.id), **self.how).task.state, pb.TASK_STATE_CANCELLED)
        ok("cancel")


class Details:
    """What a status says besides its code and message."""

    def __init__(self, error: grpc.RpcError) -> None:
        status = rpc_status.from_call(error)
        equal((status.code, status.message), (error.code().value[0], error.details()))
        self.info = self._one(status, error_details_pb2.ErrorInfo)
        self.retry = self._one(status, error_details_pb2.RetryInfo)
        self.bad = self._one(status, error_details_pb2.BadRequest)

    @staticmethod
    def _one(status, kind):
        for detail in status.details:
            found = kind()
            if detail.Unpack(found):
                return found
        return None


def shout(text: str) -> pb.SubmitRequest:
    payload = f'{{"say": "{text}"}}'.encode()
    return pb.SubmitRequest(queue="shout", payload=payload, content_type="application/json")


def refused(call) -> grpc.RpcError:
    try:
        answer = call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"it was answered: {answer}")


def equal(got, wanted) -> None:
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def ok(step: str) -> None:
    print(f"ok {step}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
