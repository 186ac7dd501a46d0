// Requests through the proxy at PORT: on one connection, a body with a length, a body in chunks, HEAD, trailers.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
)

type answer struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}

func main() {
	base := "http://127.0.0.1:" + os.Args[1]
	connections := 0
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			connections++
		}
	}}
	var answers []answer
	ask := func(method, path string, body io.Reader, trailer http.Header) {
		request, err := http.NewRequest(method, base+path, body)
		if err != nil {
			panic(err)
		}
		request.Trailer = trailer
		request = request.WithContext(httptrace.WithClientTrace(request.Context(), trace))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		answers = append(answers, answer{response.StatusCode, string(text)})
	}
	ask("GET", "/first?a=1", nil, nil)
	ask("POST", "/second", strings.NewReader("body"), nil)
	ask("PUT", "/third", struct{ io.Reader }{strings.NewReader("chunk after chunk")}, http.Header{"X-After": {"1"}})
	ask("HEAD", "/fourth", nil, nil)
	encoded, _ := json.Marshal(map[string]any{"answers": answers, "connections": connections})
	fmt.Println(string(encoded))
}
