package centrifuge

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/realtime"
)

// jsonFormat is the protocol in JSON.
type jsonFormat struct{}

// parse reads JSON objects, one after the other.
func (jsonFormat) parse(message []byte, handle func(*command) error) error {
	dec := jsontext.NewDecoder(bytes.NewReader(message))
	for dec.PeekKind() != 0 {
		var cmd command
		if err := json.UnmarshalDecode(dec, &cmd); err != nil {
			return realtime.CloseBadRequest
		}
		if err := handle(&cmd); err != nil {
			return err
		}
	}
	if dec.InputOffset() < int64(len(bytes.TrimRight(message, " \t\r\n"))) {
		return realtime.CloseBadRequest
	}
	return nil
}

func (jsonFormat) appendReply(dst []byte, r *reply) []byte {
	b, err := json.Marshal(r, json.Deterministic(true))
	if err != nil { // the result of an RPC is not JSON
		b, _ = json.Marshal(&reply{ID: r.ID, Error: errInternal})
	}
	return append(dst, b...)
}

func (jsonFormat) appendPush(dst []byte, p *push) []byte {
	dst = append(dst, `{"push":{`...)
	if p.channel != "" {
		dst, _ = jsontext.AppendQuote(append(dst, `"channel":`...), p.channel)
		dst = append(dst, ',')
	}
	switch {
	case p.unsubscribe != nil:
		dst = appendEnding(dst, "unsubscribe", p.unsubscribe)
	case p.disconnect != nil:
		dst = appendEnding(dst, "disconnect", p.disconnect)
	default:
		dst = append(append(dst, `"pub":{"data":`...), p.data...)
		if p.offset >= 0 {
			dst = strconv.AppendInt(append(dst, `,"offset":`...), p.offset, 10)
		}
		dst = append(dst, '}')
	}
	return append(dst, "}}"...)
}

func appendEnding(dst []byte, name string, e *ending) []byte {
	dst = append(append(append(dst, '"'), name...), `":{"code":`...)
	dst = append(strconv.AppendUint(dst, uint64(e.code), 10), `,"reason":`...)
	dst, _ = jsontext.AppendQuote(dst, e.reason)
	return append(dst, '}')
}
