// Triple in Go: `triple-server PORT`, or `triple-client PORT...`, which prints a line of JSON for each case and port.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/triple"
	tri "dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"dubbo.apache.org/dubbo-go/v3/server"
)

const tripleFace, wrappedFace = "plait.interop.Triple", "plait.interop.TripleWrapped"

type text = wrapperspb.StringValue

// TripleEcho and TripleWrapped stand for the services; what their methods do is in tripleInfo and wrappedInfo. They have
// a method each because a service without any is refused, and are two because the later service of one type replaces the other.
type TripleEcho struct{}
type TripleWrapped struct{}

func (*TripleEcho) Echo(_ context.Context, value *text) (*text, error)      { return value, nil }
func (*TripleWrapped) Text(_ context.Context, value string) (string, error) { return value, nil }

func made() any             { return new(text) }
func inStream(base any) any { return base }

var tripleInfo = common.ServiceInfo{InterfaceName: tripleFace, ServiceType: (*any)(nil), Methods: []common.MethodInfo{
	{Name: "echo", Type: constant.CallUnary, ReqInitFunc: made,
		MethodFunc: func(_ context.Context, args []any, _ any) (any, error) {
			return tri.NewResponse(args[0].(*text)), nil
		}},
	{Name: "reject", Type: constant.CallUnary, ReqInitFunc: made,
		MethodFunc: func(_ context.Context, args []any, _ any) (any, error) {
			return nil, tri.NewError(tri.CodeFailedPrecondition, errors.New("refused: "+args[0].(*text).Value))
		}},
	{Name: "nap", Type: constant.CallUnary, ReqInitFunc: made,
		MethodFunc: func(_ context.Context, args []any, _ any) (any, error) {
			milliseconds, err := strconv.Atoi(args[0].(*text).Value)
			time.Sleep(time.Duration(milliseconds) * time.Millisecond)
			return tri.NewResponse(wrapperspb.String("slept")), err
		}},
	{Name: "count", Type: constant.CallServerStream, ReqInitFunc: made, StreamInitFunc: inStream,
		MethodFunc: func(_ context.Context, args []any, _ any) (any, error) {
			upTo, err := strconv.Atoi(args[0].(*text).Value)
			for number := 0; err == nil && number < upTo; number++ {
				err = args[1].(*tri.ServerStream).Send(wrapperspb.String(strconv.Itoa(number)))
			}
			return nil, err
		}},
	{Name: "gather", Type: constant.CallClientStream, StreamInitFunc: inStream,
		MethodFunc: func(_ context.Context, args []any, _ any) (any, error) {
			stream := args[0].(*tri.ClientStream)
			var got []string
			for stream.Receive(new(text)) {
				got = append(got, stream.Msg().(*text).Value)
			}
			return tri.NewResponse(wrapperspb.String(strings.Join(got, "+"))), stream.Err()
		}},
	{Name: "talk", Type: constant.CallBidiStream, StreamInitFunc: inStream,
		MethodFunc: func(_ context.Context, args []any, _ any) (any, error) {
			stream := args[0].(*tri.BidiStream)
			for {
				asked := new(text)
				if err := stream.Receive(asked); err != nil {
					return nil, nil
				}
				if err := stream.Send(wrapperspb.String("echo " + asked.Value)); err != nil {
					return nil, err
				}
			}
		}},
}}

// wrappedInfo are the methods that take objects, which Triple wraps in Hessian: a service has one serialization.
var wrappedInfo = common.ServiceInfo{InterfaceName: wrappedFace, ServiceType: (*any)(nil), Methods: []common.MethodInfo{
	{Name: "text", Type: constant.CallUnary, ReqInitFunc: func() any { return []any{new(string)} },
		MethodFunc: func(_ context.Context, args []any, _ any) (any, error) {
			return tri.NewResponse(args[0].(string)), nil
		}},
	{Name: "older", Type: constant.CallUnary, ReqInitFunc: func() any { return []any{new(*Person), new(int32)} },
		MethodFunc: func(_ context.Context, args []any, _ any) (any, error) {
			person := args[0].(*Person)
			return tri.NewResponse(&Person{person.Name, person.Age + args[1].(int32), person.Tags}), nil
		}},
}}

func serveTriple(port int) {
	s, err := server.NewServer(server.WithServerProtocol(protocol.WithTriple(), protocol.WithIp("127.0.0.1"), protocol.WithPort(port)))
	must(err)
	must(s.Register(&TripleEcho{}, &tripleInfo, server.WithNotRegister()))
	must(s.Register(&TripleWrapped{}, &wrappedInfo, server.WithNotRegister(), server.WithSerialization(constant.Hessian2Serialization)))
	go func() { must(s.Serve()) }()
	time.Sleep(300 * time.Millisecond)
	say("ready")
	select {}
}

func askTriple(ports []string) {
	for _, port := range ports {
		url := client.WithClientURL("127.0.0.1:" + port)
		plain, err := client.NewClient(client.WithClientProtocolTriple(), url, client.WithClientClusterFailFast())
		must(err)
		proto, err := plain.DialWithInfo(tripleFace, &client.ClientInfo{InterfaceName: tripleFace,
			MethodNames: []string{"echo", "reject", "nap", "count", "gather", "talk"}})
		must(err)
		wrapped, err := plain.Dial(wrappedFace, client.WithSerialization(constant.Hessian2Serialization), client.WithIDL(constant.NONIDL))
		must(err)
		within, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		large := strings.Repeat("x", 300_000)
		unary := func(method, value string) (string, error) {
			got := new(text)
			err := proto.CallUnary(within, []any{wrapperspb.String(value)}, got, method)
			return got.Value, err
		}
		tell(port, "hessian", func() (string, error) {
			var got string
			err := wrapped.CallUnary(within, []any{"ä €"}, &got, "text")
			return got, err
		})
		tell(port, "hessian large", func() (string, error) {
			var got string
			err := wrapped.CallUnary(within, []any{large}, &got, "text")
			return strconv.FormatBool(got == large), err
		})
		tell(port, "hessian object", func() (string, error) {
			got := new(Person)
			err := wrapped.CallUnary(within, []any{&Person{"Änn", 30, []string{"a"}}, int32(5)}, got, "older")
			return fmt.Sprint(got.Name, " ", got.Age, " ", got.Tags), err
		})
		tell(port, "protobuf", func() (string, error) { return unary("echo", "ä €") })
		tell(port, "protobuf large", func() (string, error) {
			got, err := unary("echo", large)
			return strconv.FormatBool(got == large), err
		})
		tell(port, "protobuf error", func() (string, error) { return unary("reject", "nö") })
		tell(port, "server streaming", func() (string, error) {
			opened, err := proto.CallServerStream(within, wrapperspb.String("3"), "count")
			if err != nil {
				return "", err
			}
			stream := opened.(*tri.ServerStreamForClient)
			var got []string
			for stream.Receive(new(text)) {
				got = append(got, stream.Msg().(*text).Value)
			}
			return strings.Join(got, ","), stream.Err()
		})
		tell(port, "client streaming", func() (string, error) {
			opened, err := proto.CallClientStream(within, "gather")
			if err != nil {
				return "", err
			}
			stream := opened.(*tri.ClientStreamForClient)
			for _, word := range []string{"a", "b"} {
				if err := stream.Send(wrapperspb.String(word)); err != nil {
					return "", err
				}
			}
			answer := tri.NewResponse(new(text))
			if err := stream.CloseAndReceive(answer); err != nil {
				return "", err
			}
			return answer.Msg.(*text).Value, nil
		})
		tell(port, "bidirectional", func() (string, error) {
			opened, err := proto.CallBidiStream(within, "talk")
			if err != nil {
				return "", err
			}
			stream := opened.(*tri.BidiStreamForClient)
			var got []string
			for _, word := range []string{"a", "b"} { // each answer is waited for before the next is sent
				answer := new(text)
				if err := stream.Send(wrapperspb.String(word)); err != nil {
					return "", err
				}
				if err := stream.Receive(answer); err != nil {
					return "", err
				}
				got = append(got, answer.Value)
			}
			return strings.Join(got, ","), stream.CloseRequest()
		})
		tell(port, "deadline", func() (string, error) {
			soon, cancel := context.WithTimeout(within, 400*time.Millisecond)
			defer cancel()
			got := new(text)
			err := proto.CallUnary(soon, []any{wrapperspb.String("3000")}, got, "nap")
			if tri.CodeOf(err) == tri.CodeDeadlineExceeded { // the words are those of who noticed first
				return "timed out", nil
			}
			return got.Value, err
		})
		cancel()
	}
}

func tell(port, name string, ask func() (string, error)) {
	number, _ := strconv.Atoi(port)
	told := map[string]any{"port": number, "case": name}
	if value, err := ask(); err != nil {
		told["error"] = err.Error()
	} else {
		told["value"] = value
	}
	line, _ := json.Marshal(told)
	say(string(line))
}
