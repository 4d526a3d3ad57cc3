package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/devstack"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/projections/deliveries"
	"github.com/schoolbell/schoolbell/projections/fees"
)

// appendNewer writes to Kafka by hand what only a newer version of Schoolbell can fold: an event of
// each of n subjects.
func appendNewer(t *testing.T, broker *devstack.Kafka, school string, n int) {
	t.Helper()
	log, err := kafka.Open(t.Context(), kafka.Config{Brokers: broker.Brokers()}, testLog(t), nil)
	require.NoError(t, err)
	defer log.Close()
	records := make([]eventlog.Record, n)
	for i := range records {
		records[i] = eventlog.Record{Key: []byte(school), Value: []byte("{}")}
		for _, h := range [][2]string{
			{"ce_specversion", "1.0"},
			{"ce_id", fmt.Sprint("newer-", i)},
			{"ce_source", "test"},
			{"ce_type", "schoolbell.attendance.marked.v99"},
			{"ce_school", school},
			{"ce_subject", fmt.Sprint("newer-", i)},
			{"ce_time", "2026-09-07T08:00:00Z"},
			{"content-type", "application/json"},
		} {
			records[i].Headers = append(records[i].Headers,
				eventlog.Header{Key: h[0], Value: []byte(h[1])})
		}
	}
	_, err = log.Append(t.Context(), school, records)
	require.NoError(t, err)
}

// neighbours returns two schools whose events are in the same partition.
func neighbours() (one, other string) {
	const partitions = 12
	one = "north"
	for i := 0; ; i++ {
		other = fmt.Sprint("south-", i)
		if eventlog.PartitionFor(one, partitions) == eventlog.PartitionFor(other, partitions) {
			return one, other
		}
	}
}

func invoice(school, student string) map[string]any {
	return event(school, "invoice-"+student, "schoolbell.fee.invoiced.v1", student, map[string]any{
		"invoice_id": "i-" + student, "student_id": student, "year": "2026-2027", "term": "1",
		"category": "tuition", "amount": 100, "currency": "BGN", "due_on": "2026-10-01",
	})
}

// payment is one in another currency than that of the invoice.
func payment(school, student string) map[string]any {
	return event(school, "payment-"+student, "schoolbell.fee.payment_received.v1", student,
		map[string]any{
			"payment_id": "p-" + student, "invoice_id": "i-" + student, "student_id": student,
			"amount": 51, "currency": "EUR", "method": "bank",
		})
}

// contradict invoices students in one currency and receives what they pay in another.
func contradict(t *testing.T, a *app, school string, students int) (position string) {
	t.Helper()
	const perRequest = 250
	var events []map[string]any
	for i := range students {
		id := fmt.Sprint("pupil-", i)
		events = append(events, invoice(school, id), payment(school, id))
		if len(events) == 2*perRequest || i == students-1 {
			position = a.publish(t, school, events...)
			events = nil
		}
	}
	return position
}

// A currency changeover, and then a flood of events that cannot be folded: both cost their school
// what they must, and its neighbour in the partition nothing, least of all a text.
func TestP11_ASchoolThatCannotBeFoldedDisturbsNobody(t *testing.T) {
	t.Parallel()
	broker := devtest.Kafka(t)
	a := startApp(t, func(c *config.Config) { c.Kafka.Brokers = broker.Brokers() })
	good, bad := neighbours()
	resp, b := a.call(t, http.MethodPut, a.HTTP+"/v1/schools/"+good+"/settings",
		`{"name":"Good","rules":{"absence":{"max_age":-1}}}`,
		"Content-Type", "application/json", "If-Match", `"0"`)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", b)
	a.publish(t, good, family(good, "s1")...)

	var money fees.Finances
	badPath := "/v1/schools/" + bad
	at := contradict(t, a, bad, 1100)
	resp = a.get(t, badPath+"/analytics/fees", at, &money)
	require.Equal(t, "0", resp.Header.Get("Schoolbell-Parked"), "a contradiction parks nobody")
	require.Equal(t, []fees.Currency{{Currency: "EUR", Amount: 1100 * 51}}, money.Unmatched)
	require.Len(t, money.Conflicts, 200)
	require.EqualValues(t, 1100*100, money.Totals[0].Outstanding)

	appendNewer(t, broker, bad, 1001)
	at = a.publish(t, bad, enrolled(bad, 7))
	resp = a.get(t, badPath+"/analytics/overview", at, new(map[string]any))
	require.Equal(t, "1000", resp.Header.Get("Schoolbell-Parked"))
	require.NotEmpty(t, resp.Header.Get("Schoolbell-Parked-From"))
	require.Equal(t, at, resp.Header.Get("Schoolbell-Position"), "the position moves on")

	at = a.publish(t, good, marked(good, 1, "absent_unexcused"))
	resp = a.get(t, "/v1/schools/"+good+"/analytics/attendance?from=2026-09-01", at, new(map[string]any))
	require.Equal(t, "0", resp.Header.Get("Schoolbell-Parked"))
	require.Empty(t, resp.Header.Get("Schoolbell-Parked-From"))
	require.Eventually(t, func() bool {
		list := get[deliveries.List](t, a, a.token,
			"/v1/schools/"+good+"/deliveries?event=marked-s1")
		return len(list.Deliveries) == 1 && list.Deliveries[0].Status == "sent"
	}, 30*time.Second, 20*time.Millisecond, "the text is sent")

	for _, args := range [][]string{{"verify"}, {"rebuild"}, {"verify"}} {
		args = append(a.withLog(args...), "--database-url", a.Database)
		code, stdout, stderr := command(t, args...)
		require.Equal(t, exitDone, code, "%v: %s%s", args, stdout, stderr)
	}
}
