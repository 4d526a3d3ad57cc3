package httpapi_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// bills are events about the money of a few students; without are the ids to leave out.
func bills(only map[string]bool) (events []string) {
	r := rand.New(rand.NewPCG(7, 7))
	add := func(kind, data string, args ...any) {
		id := fmt.Sprintf("b-%d", len(events))
		if text := structured(id, "fee."+kind, fmt.Sprintf(data, args...)); only == nil || only[id] {
			events = append(events, text)
		} else {
			events = append(events, "")
		}
	}
	for i := range 40 {
		student, amount := i%7, 1000+r.IntN(9)*50
		add("invoiced", `{"invoice_id":"i-%d","student_id":"s-%d","year":"%d","term":"1",
			"category":"c","amount":%d,"currency":"EUR","due_on":"2026-09-%02d"}`,
			i, student, 2025+i%2, amount, 1+i%28)
		add("payment_received", `{"payment_id":"p-%d","invoice_id":"i-%d","student_id":"s-%d",
			"amount":%d,"currency":"EUR","method":"bank"}`, i, r.IntN(50), student, 1+r.IntN(1500))
		switch i % 4 {
		case 0:
			add("payment_reversed", `{"payment_id":"p-%d","reason":"bounced"}`, r.IntN(40))
		case 1:
			add("waived", `{"waiver_id":"w-%d","invoice_id":"i-%d","amount":%d,"reason":"x"}`,
				i, r.IntN(40), 1+r.IntN(900))
		case 2:
			add("credited", `{"credit_id":"c-%d","invoice_id":"i-%d","student_id":"s-%d",
				"amount":%d,"currency":"EUR","reason":"x"}`, i, r.IntN(40), student, 1+r.IntN(900))
		}
	}
	kept := events[:0]
	for _, e := range events {
		if e != "" {
			kept = append(kept, e)
		}
	}
	return kept
}

func rational(t *testing.T, v jsontext.Value) *big.Rat {
	t.Helper()
	if len(v) == 0 {
		return new(big.Rat)
	}
	r, ok := new(big.Rat).SetString(string(v))
	require.True(t, ok, string(v))
	return r
}

// TestP13_ANumberIsMadeOfTheEventsThatExplainIt adds up what the events contribute, and publishes
// only these events to another school, which then has the same number.
func TestP13_ANumberIsMadeOfTheEventsThatExplainIt(t *testing.T) {
	t.Parallel()
	s := full(t)
	at := s.publish("north", append([]string{enrolled("s-1"), marked("m", "s-1", "late")},
		bills(nil)...)...)
	admin := token(t, "north", "u", "admin")
	type fees struct {
		Totals []map[string]jsontext.Value `json:"totals"`
	}
	var response fees
	r := s.get("/v1/schools/north/analytics/fees?year=2026", admin, "Schoolbell-Min-Position", at)
	require.NoError(t, json.Unmarshal(r.body, &response))
	explain := func(bearer, parameters string) httpapi.Explanation {
		r := s.get("/v1/schools/north/explain?query=fees&year=2026&position="+url.QueryEscape(at)+
			"&"+parameters, bearer)
		require.Equal(t, http.StatusOK, r.StatusCode, string(r.body))
		var x httpapi.Explanation
		require.NoError(t, json.Unmarshal(r.body, &x))
		return x
	}
	for name, value := range response.Totals[0] {
		if value.Kind() != '0' {
			continue // the currency
		}
		x := explain(admin, "limit=1000&field=/totals/0/"+name)
		require.Equal(t, string(value), string(x.Value), name)
		require.Len(t, x.Events, x.Count)
		sum, numerator, denominator := new(big.Rat), new(big.Rat), new(big.Rat)
		only := map[string]bool{}
		for _, e := range x.Events {
			only[e.ID] = true
			sum.Add(sum, rational(t, e.Added))
			numerator.Add(numerator, rational(t, e.Numerator))
			denominator.Add(denominator, rational(t, e.Denominator))
		}
		require.Zero(t, numerator.Cmp(rational(t, x.Numerator)), name)
		require.Zero(t, denominator.Cmp(rational(t, x.Denominator)), name)
		if x.Numerator == nil {
			require.Zero(t, sum.Cmp(rational(t, value)), "%s: the events add up to %s", name, sum)
		}
		if len(only) == 0 {
			continue
		}
		copied := "of-" + strings.ReplaceAll(name, "_", "-")
		upTo := s.publish(copied, bills(only)...)
		var same fees
		r := s.get("/v1/schools/"+copied+"/analytics/fees?year=2026",
			token(t, copied, "u", "admin"), "Schoolbell-Min-Position", upTo)
		require.NoError(t, json.Unmarshal(r.body, &same), string(r.body))
		require.Equal(t, string(value), string(same.Totals[0][name]),
			"%s of nothing but the %d events that explain it", name, len(only))
	}

	// pages, and the position of the response
	whole := explain(admin, "field=/totals/0/collected&limit=1000")
	var paged []httpapi.Contribution
	for next := int64(0); ; {
		x := explain(admin, fmt.Sprintf("field=/totals/0/collected&limit=7&after=%d", next))
		paged = append(paged, x.Events...)
		if next = x.Next; next == 0 {
			break
		}
	}
	require.Equal(t, whole.Events, paged)
	require.Greater(t, len(paged), 14)
	s.get("/v1/schools/north/analytics/fees", admin, "Schoolbell-Min-Position", s.publish("north",
		structured("new", "fee.payment_received", `{"payment_id":"new","invoice_id":"i-1",
			"student_id":"s-1","amount":99,"currency":"EUR","method":"cash"}`)))
	require.Equal(t, whole, explain(admin, "field=/totals/0/collected&limit=1000"))

	// who may see no event gets only how many there are
	x := explain(token(t, "north", "a", "analyst"), "field=/totals/0/collected")
	require.Equal(t, whole.Value, x.Value)
	require.Equal(t, whole.Count, x.Hidden)
	require.Empty(t, x.Events)
	require.Len(t, explain(token(t, "north", "a", "accountant"), "field=/totals/0/collected&limit=1000").Events,
		whole.Count)

	path := "/v1/schools/north/explain?query=fees&field="
	require.Equal(t, http.StatusForbidden,
		s.get(path+"/totals/0/due", token(t, "north", "t", "teacher")).StatusCode)
	for _, field := range []string{"/totals/9/due", "/totals/0/currency", "/totals", "totals", "/x"} {
		r := s.get(path+field, admin)
		require.Equal(t, http.StatusNotFound, r.StatusCode, field)
		r.problem(t)
	}
}
