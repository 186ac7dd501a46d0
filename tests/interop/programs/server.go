// An HTTP server on PORT: /small, /chunks (no length), /close, /early (answers before it reads), /interim, /trailers, all else echoes.
package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/small", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "small from go") })
	http.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
		for _, piece := range []string{"one ", "two ", "three"} {
			io.WriteString(w, piece)
			w.(http.Flusher).Flush()
		}
	})
	http.HandleFunc("/close", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "closed")
	})
	http.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		io.WriteString(w, "no way")
	})
	http.HandleFunc("/interim", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "after the hints")
	})
	http.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "4")
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.EnableFullDuplex() // else nothing is written before the body was read
		piece := make([]byte, 65536)
		for {
			n, err := r.Body.Read(piece)
			w.Write(piece[:n])
			control.Flush()
			if err != nil {
				return
			}
		}
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
