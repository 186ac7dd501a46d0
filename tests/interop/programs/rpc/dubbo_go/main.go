// Dubbo in Go: `server PORT`, or `client` with calls on standard input. Triple is in triple.go.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	transport "github.com/apache/dubbo-getty"
	hessian "github.com/apache/dubbo-go-hessian2"
	"github.com/apache/dubbo-go-hessian2/java_exception"
	"github.com/dubbogo/gost/log/logger"

	"dubbo.apache.org/dubbo-go/v3/client"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/cluster/failfast"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/random"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	_ "dubbo.apache.org/dubbo-go/v3/filter/accesslog"
	_ "dubbo.apache.org/dubbo-go/v3/filter/echo"
	_ "dubbo.apache.org/dubbo-go/v3/filter/exec_limit"
	_ "dubbo.apache.org/dubbo-go/v3/filter/generic"
	_ "dubbo.apache.org/dubbo-go/v3/filter/graceful_shutdown"
	_ "dubbo.apache.org/dubbo-go/v3/filter/token"
	_ "dubbo.apache.org/dubbo-go/v3/filter/tps"
	"dubbo.apache.org/dubbo-go/v3/metadata"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	_ "dubbo.apache.org/dubbo-go/v3/proxy/proxy_factory"
	_ "dubbo.apache.org/dubbo-go/v3/registry/directory"
	_ "dubbo.apache.org/dubbo-go/v3/registry/protocol"
	"dubbo.apache.org/dubbo-go/v3/remoting/getty"
	"dubbo.apache.org/dubbo-go/v3/server"
)

const face = "plait.interop.Echo"

const maxMessage = 32 << 20 // by itself it takes 1,000 kB

type Person struct {
	Name string
	Age  int32
	Tags []string
}

func (*Person) JavaClassName() string { return "plait.interop.Person" }

type Refused struct {
	SerialVersionUID     int64
	DetailMessage        string
	SuppressedExceptions []java_exception.Throwabler
	StackTrace           []java_exception.StackTraceElement
	Cause                java_exception.Throwabler
}

func (e Refused) Error() string                                     { return e.DetailMessage }
func (Refused) JavaClassName() string                               { return "plait.interop.Refused" }
func (e Refused) GetStackTrace() []java_exception.StackTraceElement { return e.StackTrace }

type Echo struct{ noted sync.Map }

func (*Echo) Reference() string { return face }

func (*Echo) MethodMapper() map[string]string {
	return map[string]string{"Text": "text", "Number": "number", "Map": "map", "List": "list", "Bytes": "bytes",
		"Older": "older", "Fail": "fail", "Sleep": "sleep", "Note": "note", "Noted": "noted"}
}

func (*Echo) Text(_ context.Context, value string) (string, error)  { return value, nil }
func (*Echo) Number(_ context.Context, value int32) (int32, error)  { return value, nil }
func (*Echo) Bytes(_ context.Context, value []byte) ([]byte, error) { return value, nil }

// A list that is the only parameter is given all the arguments: dubbo-go's own rule.
func (*Echo) List(_ context.Context, value []any) ([]any, error)            { return value[0].([]any), nil }
func (*Echo) Map(_ context.Context, value map[any]any) (map[any]any, error) { return value, nil }

func (*Echo) Older(_ context.Context, person *Person, years int32) (*Person, error) {
	return &Person{person.Name, person.Age + years, person.Tags}, nil
}

func (*Echo) Fail(_ context.Context, message string) (string, error) {
	return "", &Refused{DetailMessage: message, StackTrace: []java_exception.StackTraceElement{}}
}

func (*Echo) Sleep(_ context.Context, milliseconds int32) (string, error) {
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	return "slept", nil
}

func (e *Echo) Note(_ context.Context, word string) error {
	e.noted.Store(word, true)
	return nil
}

func (e *Echo) Noted(_ context.Context, word string) (bool, error) {
	_, found := e.noted.Load(word)
	return found, nil
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

var output sync.Mutex

func say(line string) {
	output.Lock()
	defer output.Unlock()
	fmt.Println(line)
}

func main() {
	logger.SetLoggerLevel("error")
	must(transport.SetLoggerLevel(transport.LoggerLevelError))
	hessian.RegisterPOJO(&Person{})
	hessian.RegisterPOJO(&Refused{})
	if os.Args[1] == "triple-client" {
		askTriple(os.Args[2:])
		return
	}
	if strings.HasSuffix(os.Args[1], "server") {
		port, err := strconv.Atoi(os.Args[2])
		must(err)
		// Else a service for metadata listens on every address.
		must(metadata.NewOptions(metadata.WithMetadataType(constant.RemoteMetadataStorageType)).Init())
		if os.Args[1] == "triple-server" {
			serveTriple(port)
		}
		settings := getty.GetDefaultServerConfig()
		settings.GettySessionParam.MaxMsgLen = maxMessage
		getty.SetServerConfig(*settings)
		s, err := server.NewServer(server.WithServerProtocol(protocol.WithDubbo(), protocol.WithIp("127.0.0.1"), protocol.WithPort(port)))
		must(err)
		must(s.RegisterService(&Echo{}, server.WithInterface(face), server.WithVersion("1.0"), server.WithNotRegister()))
		go func() { must(s.Serve()) }()
		time.Sleep(300 * time.Millisecond)
		say("ready")
		select {}
	}
	serve()
}

type call struct {
	ID        int    `json:"id"`
	Target    string `json:"target"`
	Method    string `json:"method"`
	Args      []any  `json:"args"`
	TimeoutMs int    `json:"timeout_ms"`
}

var (
	connections sync.Map
	dialing     sync.Mutex
)

func dial(target string) (*client.Connection, error) {
	dialing.Lock()
	defer dialing.Unlock()
	if found, ok := connections.Load(target); ok {
		return found.(*client.Connection), nil
	}
	c, err := client.NewClient(client.WithClientProtocolDubbo(), client.WithClientURL(target),
		client.WithClientSerialization(constant.Hessian2Serialization), client.WithClientClusterFailFast())
	if err != nil {
		return nil, err
	}
	connection, err := c.Dial(face, client.WithVersion("1.0"))
	if err == nil {
		connections.Store(target, connection)
	}
	return connection, err
}

func serve() {
	settings := getty.GetDefaultClientConfig()
	settings.ConnectionNum = 1
	settings.GettySessionParam.MaxMsgLen = maxMessage
	if period := os.Getenv("HEARTBEAT_MS"); period != "" {
		settings.HeartbeatPeriod = period + "ms"
	}
	getty.SetClientConf(*settings)
	lines := bufio.NewReader(os.Stdin)
	say("ready")
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			os.Exit(0)
		}
		var asked call
		must(json.Unmarshal(line, &asked))
		go func() {
			value, err := invoke(asked)
			result := map[string]any{"id": asked.ID}
			if err != nil {
				result["error"] = map[string]string{"class": class(err), "message": err.Error()}
			} else {
				result["value"] = plain(reflect.ValueOf(value))
			}
			encoded, err := json.Marshal(result)
			must(err)
			say(string(encoded))
		}()
	}
}

func class(err error) string {
	if named, ok := err.(interface{ JavaClassName() string }); ok {
		return named.JavaClassName()
	}
	return fmt.Sprintf("%T", err)
}

func invoke(asked call) (any, error) {
	connection, err := dial(asked.Target)
	if err != nil {
		return nil, err
	}
	arguments := make([]any, len(asked.Args))
	for i, each := range asked.Args {
		arguments[i] = typed(each)
	}
	var text string
	var number int32
	var flag bool
	var data []byte
	var list []any
	var entries map[any]any
	person := new(Person)
	answers := map[string]any{"text": &text, "fail": &text, "sleep": &text, "number": &number, "noted": &flag,
		"bytes": &data, "list": &list, "map": &entries, "older": person}
	ctx := context.Background()
	if asked.Method == "note" { // asynchronous and without a callback is how it says one-way
		ctx = context.WithValue(ctx, constant.AttachmentKey, map[string]any{constant.AsyncKey: "true"})
		return nil, connection.CallUnary(ctx, arguments, nil, asked.Method)
	}
	timeout := client.WithCallRequestTimeout(time.Duration(asked.TimeoutMs) * time.Millisecond)
	if err := connection.CallUnary(ctx, arguments, answers[asked.Method], asked.Method, timeout); err != nil {
		return nil, err
	}
	return reflect.ValueOf(answers[asked.Method]).Elem().Interface(), nil
}

// typed turns a value of JSON into what Hessian writes as the type that a Java server expects.
func typed(value any) any {
	switch value := value.(type) {
	case float64:
		if value == float64(int32(value)) {
			return int32(value)
		}
		return value
	case []any:
		list := make([]any, len(value))
		for i, each := range value {
			list[i] = typed(each)
		}
		return list
	case map[string]any:
		if encoded, ok := value["$bytes"]; ok {
			data, err := base64.StdEncoding.DecodeString(encoded.(string))
			must(err)
			return data
		}
		if fields, ok := value["$person"].(map[string]any); ok {
			tags := []string{}
			for _, each := range fields["tags"].([]any) {
				tags = append(tags, each.(string))
			}
			return &Person{fields["name"].(string), int32(fields["age"].(float64)), tags}
		}
		entries := map[any]any{}
		for key, each := range value {
			entries[key] = typed(each)
		}
		return entries
	}
	return value
}

func plain(value reflect.Value) any {
	for value.IsValid() && (value.Kind() == reflect.Interface || value.Kind() == reflect.Pointer) {
		value = value.Elem()
	}
	if !value.IsValid() {
		return nil
	}
	if data, ok := value.Interface().([]byte); ok {
		return map[string]any{"$bytes": base64.StdEncoding.EncodeToString(data)}
	}
	if person, ok := value.Interface().(Person); ok {
		return map[string]any{"$person": map[string]any{"name": person.Name, "age": person.Age, "tags": person.Tags}}
	}
	switch value.Kind() {
	case reflect.Slice:
		list := make([]any, value.Len())
		for i := range list {
			list[i] = plain(value.Index(i))
		}
		return list
	case reflect.Map:
		entries := map[string]any{}
		for _, key := range value.MapKeys() {
			entries[fmt.Sprint(key.Interface())] = plain(value.MapIndex(key))
		}
		return entries
	}
	return value.Interface()
}
