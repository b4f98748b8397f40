// Takes every road of TaskService with grpc-go, as any Go service would: go run . TARGET KEY
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "forebay-go-client/taskpb"
)

const within = 30 * time.Second

type caller struct {
	conn  *grpc.ClientConn
	tasks pb.TaskServiceClient
	key   string
}

func main() {
	log.SetFlags(0)
	target, key := os.Args[1], os.Args[2]
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	defer conn.Close()
	c := &caller{conn, pb.NewTaskServiceClient(conn), key}
	steps := []struct {
		name string
		take func()
	}{
		{"submit and get", c.submitAndGet},
		{"submit and wait", c.submitAndWait},
		{"a deadline that is too short", c.shortDeadline},
		{"a task that ends badly", c.badEnd},
		{"details of errors", c.detailsOfErrors},
		{"watch and resume", c.watchAndResume},
		{"submit stream", c.submitStream},
		{"cancel", c.cancel},
		{"health and reflection", c.healthAndReflection},
		{"a deadline of years", c.deadlineOfYears},
	}
	for _, step := range steps {
		step.take()
		fmt.Println("ok", step.name)
	}
}

func (c *caller) submitAndGet() {
	ctx, done := c.context(within)
	defer done()
	request := shout("grüße")
	request.Wait = durationpb.New(20 * time.Second)
	answer, err := c.tasks.Submit(ctx, request)
	must(err)
	equal(answer.Task.State, pb.TaskState_TASK_STATE_SUCCEEDED)
	equal(string(answer.Result.Payload), "GRÜSSE")
	got, err := c.tasks.Get(ctx, &pb.GetRequest{Id: answer.Task.Id})
	must(err)
	equal(proto.Equal(got.Result, answer.Result), true)
}

func (c *caller) submitAndWait() {
	ctx, done := c.context(within)
	defer done()
	submit := shout("hello")
	submit.IdempotencyKey = proto.String("go-1")
	answer, err := c.tasks.SubmitAndWait(ctx, &pb.SubmitAndWaitRequest{Submit: submit})
	must(err)
	equal(string(answer.Result.Payload), "HELLO")
	equal(answer.Result.ContentType, "text/plain; charset=utf-8")
	again, err := c.tasks.SubmitAndWait(ctx, &pb.SubmitAndWaitRequest{Submit: submit})
	must(err)
	equal(again.Replayed, true)
	equal(again.Task.Id, answer.Task.Id)
	equal(proto.Equal(again.Result, answer.Result), true)
}

func (c *caller) shortDeadline() {
	ctx, done := c.context(3 * time.Second)
	defer done()
	var trailer metadata.MD
	request := &pb.SubmitAndWaitRequest{Submit: &pb.SubmitRequest{Queue: "slow"}}
	_, err := c.tasks.SubmitAndWait(ctx, request, grpc.Trailer(&trailer))
	equal(status.Code(err), codes.DeadlineExceeded)
	equal(strings.Join(trailer.Get("forebay-error"), " "), "RESULT_NOT_READY")
	later, doneLater := c.context(within)
	defer doneLater()
	got, err := c.tasks.Get(later, &pb.GetRequest{Id: trailer.Get("forebay-task")[0]})
	must(err)
	equal(got.Result == nil, true)
	_, err = c.tasks.Cancel(later, &pb.CancelRequest{Id: got.Task.Id})
	must(err)
}

func (c *caller) badEnd() {
	ctx, done := c.context(within)
	defer done()
	_, err := c.tasks.SubmitAndWait(ctx, &pb.SubmitAndWaitRequest{Submit: shout("")})
	equal(status.Code(err), codes.FailedPrecondition)
	equal(status.Convert(err).Message(), "There is nothing to shout.")
	found := detailsOf(err)
	equal(found.info.Reason, "WORKER_REFUSED")
	equal(found.info.Domain, "forebay")
	equal(found.info.Metadata["state"], "failed")
	equal(found.retry == nil, true)
}

func (c *caller) detailsOfErrors() {
	ctx, done := c.context(within)
	defer done()
	_, err := c.tasks.Submit(ctx, &pb.SubmitRequest{Queue: "shuot"})
	found := detailsOf(err)
	equal(found.info.Reason, "QUEUE_NOT_FOUND")
	equal(found.info.Metadata["nearest"], "shout")
	wrong := shout("hello")
	wrong.Delay = durationpb.New(-time.Second)
	_, err = c.tasks.Submit(ctx, wrong)
	equal(detailsOf(err).bad.FieldViolations[0].Field, "delay")
	_, err = c.tasks.Submit(ctx, &pb.SubmitRequest{Queue: "shout", Payload: []byte("{}")})
	equal(detailsOf(err).info.Reason, "SCHEMA_MISMATCH")
	_, err = c.tasks.SubmitAndWait(ctx, &pb.SubmitAndWaitRequest{Submit: &pb.SubmitRequest{Queue: "flaky"}})
	found = detailsOf(err)
	equal(found.info.Reason, "WORKER_FAILED")
	equal(found.retry.RetryDelay.AsDuration(), time.Second)
	_, err = c.tasks.Get(context.Background(), &pb.GetRequest{Id: "x"})
	equal(status.Code(err), codes.Unauthenticated)
}

func (c *caller) watchAndResume() {
	ctx, done := c.context(within)
	defer done()
	kept, err := c.tasks.Submit(ctx, &pb.SubmitRequest{Queue: "story"})
	must(err)
	id := kept.Task.Id
	broken, breakOff := context.WithCancel(ctx)
	stream, err := c.tasks.Watch(broken, &pb.WatchRequest{Id: id})
	must(err)
	_, err = stream.Header()
	must(err)
	position, first := "", []string{}
	for len(first) < 2 {
		response, err := stream.Recv()
		must(err)
		if chunk := response.GetChunk(); chunk != nil {
			first = append(first, string(chunk.Payload))
			position = response.Position
		}
	}
	breakOff()
	rest, end := c.watch(ctx, id, position)
	equal(strings.Join(first, "|"), "Once |upon ")
	equal(strings.Join(rest, "|"), "3 a |4 time.")
	equal(string(end.GetEnd().Result.Payload), "Once upon a time.")
	rest, end = c.watch(ctx, id, end.Position)
	equal(len(rest), 0)
	equal(end == nil, true)
}

// The chunks that come after a position, and the last response of the stream.
func (c *caller) watch(ctx context.Context, id, after string) (chunks []string, last *pb.WatchResponse) {
	stream, err := c.tasks.Watch(ctx, &pb.WatchRequest{Id: id, After: after})
	must(err)
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return chunks, last
		}
		must(err)
		last = response
		if chunk := response.GetChunk(); chunk != nil {
			chunks = append(chunks, fmt.Sprintf("%d %s", chunk.Number, chunk.Payload))
		}
	}
}

func (c *caller) submitStream() {
	const count = 200
	ctx, done := c.context(within)
	defer done()
	stream, err := c.tasks.SubmitStream(ctx)
	must(err)
	go func() {
		for sequence := uint64(1); sequence <= count; sequence++ {
			must(stream.Send(&pb.SubmitStreamRequest{Sequence: sequence, Submit: shout(fmt.Sprint("task ", sequence))}))
		}
		must(stream.Send(&pb.SubmitStreamRequest{Sequence: count + 1, Submit: &pb.SubmitRequest{Queue: "nowhere"}}))
		must(stream.CloseSend())
	}()
	ids, different := map[uint64]string{}, map[string]bool{}
	problem := ""
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		must(err)
		if submitted := response.GetSubmitted(); submitted != nil {
			ids[response.Sequence] = submitted.Task.Id
			different[submitted.Task.Id] = true
		} else {
			problem += fmt.Sprint(response.Sequence, " ", response.GetProblem().Code)
		}
	}
	equal(len(ids), count)
	equal(len(different), count)
	equal(problem, "201 QUEUE_NOT_FOUND")
	got, err := c.tasks.Get(ctx, &pb.GetRequest{Id: ids[count], Wait: durationpb.New(20 * time.Second)})
	must(err)
	equal(string(got.Result.Payload), "TASK 200")
}

func (c *caller) cancel() {
	ctx, done := c.context(within)
	defer done()
	kept, err := c.tasks.Submit(ctx, &pb.SubmitRequest{Queue: "slow"})
	must(err)
	for range [2]int{} {
		answer, err := c.tasks.Cancel(ctx, &pb.CancelRequest{Id: kept.Task.Id})
		must(err)
		equal(answer.Task.State, pb.TaskState_TASK_STATE_CANCELLED)
		equal(answer.Result.Problem.Code, "TASK_CANCELLED")
	}
}

func (c *caller) healthAndReflection() {
	ctx, done := c.context(within)
	defer done()
	health := healthpb.NewHealthClient(c.conn)
	service := pb.TaskService_ServiceDesc.ServiceName
	answer, err := health.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	must(err)
	equal(answer.Status, healthpb.HealthCheckResponse_SERVING)
	watch, err := health.Watch(ctx, &healthpb.HealthCheckRequest{Service: service})
	must(err)
	first, err := watch.Recv()
	must(err)
	equal(first.Status, healthpb.HealthCheckResponse_SERVING)
	reflection, err := reflectionpb.NewServerReflectionClient(c.conn).ServerReflectionInfo(ctx)
	must(err)
	must(reflection.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service},
	}))
	described, err := reflection.Recv()
	must(err)
	files := bytes.Join(described.GetFileDescriptorResponse().FileDescriptorProto, nil)
	for _, method := range []string{"SubmitAndWait", "SubmitStream", "Watch"} {
		equal(bytes.Contains(files, []byte(method)), true)
	}
	must(reflection.CloseSend())
}

func (c *caller) deadlineOfYears() {
	ctx, done := c.context(100 * 365 * 24 * time.Hour)
	defer done()
	answer, err := c.tasks.SubmitAndWait(ctx, &pb.SubmitAndWaitRequest{Submit: shout("patience")})
	must(err)
	equal(string(answer.Result.Payload), "PATIENCE")
}

func (c *caller) context(timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+c.key)
	return context.WithTimeout(ctx, timeout)
}

type details struct {
	info  *errdetails.ErrorInfo
	retry *errdetails.RetryInfo
	bad   *errdetails.BadRequest
}

func detailsOf(err error) (found details) {
	if err == nil {
		log.Panic("it was answered")
	}
	for _, detail := range status.Convert(err).Details() {
		switch one := detail.(type) {
		case *errdetails.ErrorInfo:
			found.info = one
		case *errdetails.RetryInfo:
			found.retry = one
		case *errdetails.BadRequest:
			found.bad = one
		default:
			log.Panicf("an unknown detail: %v", one)
		}
	}
	return found
}

func shout(text string) *pb.SubmitRequest {
	payload := []byte(fmt.Sprintf("{\"say\": %q}", text))
	return &pb.SubmitRequest{Queue: "shout", Payload: payload, ContentType: "application/json"}
}

func equal[T comparable](got, wanted T) {
	if got != wanted {
		log.Panicf("got %v, wanted %v", got, wanted)
	}
}

func must(err error) {
	if err != nil {
		log.Panic(err)
	}
}
