package projtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/domain/document"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/memstore"
)

// FoldsAlike checks that the projections come to the same tables however their events are folded: all at once in the
// order of the log, or in batches of any size, with rows forgotten and looked up again, by one owner after the other, and
// with the events of some subjects late, as when they were parked.
func FoldsAlike(t *testing.T, members ...*projections.Projection) {
	t.Helper()
	set, err := projections.NewSet(members...)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		events := draw(t)
		plain := projections.NewReference(set, nil, 1, 0)
		for _, e := range events {
			require.NoError(t, plain.Fold(e))
		}
		want, err := plain.Dump()
		require.NoError(t, err)

		o := worker{t: t, set: set, store: memstore.New()}
		o.begin()
		for _, e := range late(t, events) {
			o.fold(e)
			switch rapid.IntRange(0, 9).Draw(t, "next") {
			case 0, 1, 2:
				o.take()
			case 3:
				o.take()
				o.commit()
				o.begin()
			}
		}
		o.take()
		o.commit()
		got, err := o.store.Dump()
		require.NoError(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("tables differ from a plain fold (-plain +batches):\n%s", diff)
		}
	})
}

// worker is one owner of the partition after the other. As in the engine, what was taken is written while the next batch
// is folded, so that a fold which changed a row in place would be found out.
type worker struct {
	t     *rapid.T
	set   *projections.Set
	store *memstore.Store
	batch *projections.Batch
	claim projections.Claim
	taken []projections.RowSet
}

func (o *worker) begin() {
	claim, err := o.store.Claim(o.t.Context(), 0, "topic")
	require.NoError(o.t, err)
	o.claim = claim
	o.batch = projections.NewBatch(o.set, claim.Epoch == 1)
}

func (o *worker) fold(e *domain.Envelope) {
	for range 10 { // a fold asks for the rows that it needs one round after the other
		outcome, err := o.batch.Fold(e)
		require.NoError(o.t, err)
		if outcome == projections.Folded {
			return
		}
		require.NoError(o.t, o.store.Lookup(o.t.Context(), o.batch.Lookups()))
		o.batch.Settle()
	}
	o.t.Fatalf("fold of %s asks for rows again and again", e.Type)
}

func (o *worker) take() {
	o.commit()
	o.taken, _ = o.batch.Take(rapid.IntRange(0, 20).Draw(o.t, "rows to keep"))
}

func (o *worker) commit() {
	if len(o.taken) == 0 {
		return
	}
	err := o.store.Commit(o.t.Context(), o.claim, &projections.Commit{From: o.claim.Next, To: o.claim.Next + 1, Rows: o.taken})
	require.NoError(o.t, err)
	o.claim.Next++
	o.taken = nil
}

// late puts the events of some subjects behind those of the others. The order within a subject stays.
func late(t *rapid.T, events []*domain.Envelope) []*domain.Envelope {
	delay := map[string]int{}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b *domain.Envelope) int {
		return at(t, delay, a) - at(t, delay, b)
	})
	return events
}

func at(t *rapid.T, delay map[string]int, e *domain.Envelope) int {
	subject := e.School + " " + e.Data.Subject()
	d, known := delay[subject]
	if !known {
		d = rapid.SampledFrom([]int{0, 0, 5, 1000}).Draw(t, "delay of "+subject)
		delay[subject] = d
	}
	return int(e.Position.Offset) + d
}

// Events returns some of the events that FoldsAlike draws, the same for the same seed, in the order of a log.
func Events(seed, atLeast int) []*domain.Envelope {
	var events []*domain.Envelope
	for ; len(events) < atLeast; seed++ {
		events = append(events, rapid.Custom(draw).Example(seed)...)
	}
	for i, e := range events {
		e.Position.Offset = int64(i)
	}
	return events
}

// draw makes up to a hundred events about a few students, so that they meet. Ids stand for facts: events with the same
// payment id are about the same payment.
func draw(t *rapid.T) []*domain.Envelope {
	n := rapid.IntRange(1, 100).Draw(t, "events")
	events := make([]*domain.Envelope, n)
	for i := range events {
		events[i] = &domain.Envelope{
			School:   rapid.SampledFrom([]string{"oak", "oak", "elm"}).Draw(t, "school"),
			Time:     time.Date(2026, 9, 1+i, 8, 0, 0, 123456789, time.UTC),
			Position: domain.Position{Offset: int64(i)},
			Data:     drawData(t),
		}
	}
	return events
}

func drawData(t *rapid.T) domain.Event {
	n := func(label string, most int) int { return rapid.IntRange(0, most).Draw(t, label) }
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	studentID := func() string { return fmt.Sprintf("s%d", n("student", 3)) }
	classID := func() string { return fmt.Sprintf("c%d", n("class", 1)) }
	day := func() domain.Date { return domain.NewDate(2026, 9, 1+n("day", 12)) }
	// A few students are charged and paid for by others' invoices too.
	studentOf := func(invoice int) string { return fmt.Sprintf("s%d", invoice%3) }
	currencyOf := func(invoice int) string { return []string{"EUR", "USD"}[invoice%2] }

	switch n("event", 18) {
	case 0:
		return &student.Enrolled{StudentID: studentID(), GivenName: "Ada", FamilyName: pick("name", "Å", "B"), ClassID: classID(), On: day()}
	case 1:
		return &student.ClassChanged{StudentID: studentID(), ClassID: classID(), On: day()}
	case 2:
		return &student.Withdrawn{StudentID: studentID(), On: day()}
	case 3:
		return &guardian.Linked{
			GuardianID: pick("guardian", "g1", "g2"), StudentID: studentID(), Name: pick("name", "X", "Y"),
			Relation: "mother", Phone: pick("phone", "", "555"), Primary: n("primary", 1) == 1,
		}
	case 4:
		return &guardian.ContactChanged{GuardianID: pick("guardian", "g1", "g2"), Phone: pick("phone", "", "777"), Email: "g@example.org"}
	case 5:
		return &staff.Assigned{StaffID: pick("staff", "t1", "t2"), Name: "T", Role: "teacher", ClassIDs: []string{classID()}}
	case 6, 7, 8:
		m := attendance.Marked{
			StudentID: studentID(), ClassID: classID(), Date: day(), Session: pick("session", "am", "pm"),
			Status: pick("status", attendance.Present, attendance.Late, attendance.AbsentExcused, attendance.AbsentUnexcused),
		}
		if n("corrected", 3) == 0 {
			return (*attendance.Corrected)(&m)
		}
		return &m
	case 9, 10:
		s := assessment.Scored{
			AssessmentID: pick("assessment", "a1", "a2", "a3"), StudentID: studentID(), ClassID: classID(),
			SubjectName: pick("subject", "maths", "art"), Score: float64(n("score", 30)), MaxScore: 30,
			Year: "2026", Term: domain.Label(pick("term", "1", "2")),
		}
		if n("corrected", 3) == 0 {
			return (*assessment.ScoreCorrected)(&s)
		}
		return &s
	case 11:
		switch n("scheduled", 2) {
		case 0:
			return &assessment.ResultsPublished{ClassID: classID(), Year: "2026", Term: "1"}
		case 1:
			return &assessment.Remarked{
				StudentID: studentID(), ClassID: classID(), SubjectName: pick("of", "", "art"), Year: "2026", Term: "1", Text: pick("remark", "", "A", "B"),
			}
		}
		return &assessment.Scheduled{
			AssessmentID: pick("assessment", "a1", "a2"), ClassID: classID(), SubjectName: "art", Title: pick("title", "A", "B"),
			MaxScore: 30, On: day(), Year: "2026", Term: "1",
		}
	case 12:
		i := n("invoice", 3)
		return &fee.Invoiced{
			InvoiceID: fmt.Sprintf("i%d", i), StudentID: studentOf(i), Year: "2026", Term: "1", Category: "tuition",
			Amount: 100, Currency: currencyOf(i), DueOn: domain.NewDate(2026, 10, 1+i),
		}
	case 13:
		p := n("payment", 7)
		i := p % 4
		return &fee.PaymentReceived{
			PaymentID: fmt.Sprintf("p%d", p), InvoiceID: fmt.Sprintf("i%d", i), StudentID: fmt.Sprintf("s%d", p%4),
			Amount: int64(30 + 10*p), Currency: currencyOf(i), Method: []string{fee.Cash, fee.Bank}[p/4],
		}
	case 14:
		return &fee.PaymentReversed{PaymentID: fmt.Sprintf("p%d", n("payment", 7)), Reason: pick("reason", "bounced", "fraud")}
	case 15:
		d := n("delivery", 2)
		return &document.Rendered{DocumentID: fmt.Sprintf("d%d", d), Kind: "receipt", StudentID: fmt.Sprintf("s%d", d), Bytes: 1}
	case 16, 17:
		o := delivery.Outcome{
			DeliveryID: fmt.Sprintf("d%d", n("delivery", 2)), Channel: "sms", Recipient: "g1", Provider: "p",
			ProviderID: pick("provider's id", "", "x", "y"), Cost: int64(n("cost", 2)),
		}
		switch n("outcome", 2) {
		case 0:
			return (*delivery.Sent)(&o)
		case 1:
			return (*delivery.Delivered)(&o)
		}
		o.Error = "broken"
		return (*delivery.Failed)(&o)
	default:
		return &fee.Waived{InvoiceID: fmt.Sprintf("i%d", n("invoice", 3)), Amount: int64(1 + n("amount", 9)), Reason: "hardship"}
	}
}
