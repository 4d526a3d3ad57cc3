package sse

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/realtime"
)

// badRequest is the error of a request that is malformed.
type badRequest struct{ error }

// refuse responds to a request that opens no stream.
//
// A browser's EventSource gives up for ever after any status but 200. So what passes by itself, such as
// a node that is shutting down, is said in a stream that ends at once.
func (st *stream) refuse(r *http.Request, err error) {
	status, detail := realtime.StatusOf(err), realtime.Explain(err)
	if bad, ok := errors.AsType[badRequest](err); ok {
		status, detail = http.StatusBadRequest, bad.Error()
	}
	end := realtime.CloseOf(err)
	passes := status == http.StatusServiceUnavailable ||
		status == http.StatusTooManyRequests && end.Reconnect()
	if !passes {
		writeProblem(st.w, status, detail)
		return
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		st.w.Header().Set("Retry-After", "2")
		writeProblem(st.w, status, detail)
		return
	}
	st.writeHeader()
	// a write that fails ends the request as well
	_ = st.write(appendMessage([]byte("retry: 2000\n\n"), "close", closed{end.Code, detail, true}))
}

// writeProblem responds with a problem (RFC 9457).
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	b, _ := jsontext.AppendQuote(nil, detail)
	fmt.Fprintf(w, `{"status":%d,"title":%q,"detail":%s}`, status, http.StatusText(status), b)
}
