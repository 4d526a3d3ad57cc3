package simulate_test

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

var year = simulate.Config{Schools: 1, Students: 300, Days: 180, Seed: 7}

// digest is a hash of events as they would be published.
func digest(t *testing.T, events iter.Seq[*domain.Envelope]) string {
	t.Helper()
	h := sha256.New()
	var b []byte
	for e := range events {
		var err error
		b, err = cloudevents.AppendStructured(b[:0], e)
		require.NoError(t, err)
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestSameSeedSameBytes(t *testing.T) {
	t.Parallel()
	c := simulate.Config{Schools: 3, Students: 60, Days: 70, Seed: 1}
	want := digest(t, c.Events())
	require.Equal(t, want, digest(t, c.Events()))
	c.Seed = 2
	require.NotEqual(t, want, digest(t, c.Events()))
	c = simulate.Config{Schools: 1, Students: 30, Days: 30, Seed: 1}
	require.Equal(t, "6d3a578a8b3b66a4553437c554c82562abd197543d75c38acf6645a0ee43b361",
		digest(t, c.Events()), "a seed must mean the same in every release")
}

// A school's year does not depend on the other schools, nor on who else runs at the same time, and
// a shorter year is the beginning of a longer one.
func TestSchoolsAreIndependent(t *testing.T) {
	t.Parallel()
	c := simulate.Config{Schools: 5, Students: 40, Days: 65, Seed: 3}
	together := make(map[string][]*domain.Envelope)
	for e := range c.Events() {
		together[e.School] = append(together[e.School], e)
	}
	require.Len(t, together, c.Schools)
	var g errgroup.Group
	alone := make([][]*domain.Envelope, c.Schools)
	for i := range alone {
		g.Go(func() error {
			alone[i] = slices.Collect(c.School(i).Events())
			return nil
		})
	}
	require.NoError(t, g.Wait())
	for i, events := range alone {
		require.Empty(t, cmp.Diff(together[simulate.SchoolID(i)], events))
	}
	c.Days = 40
	short := slices.Collect(c.School(2).Events())
	require.Empty(t, cmp.Diff(short, alone[2][:len(short)]))
}

func TestEventsAreInOrderAndValid(t *testing.T) {
	t.Parallel()
	ids := make(map[string]bool)
	last := time.Time{}
	for e := range year.School(0).Events() {
		var f domain.Faults
		e.Data.Validate(&f)
		require.NoError(t, f.Err(), "%s %s", e.Type, e.ID)
		require.LessOrEqual(t, len(e.ID), domain.MaxIDLength)
		require.False(t, ids[e.ID], e.ID)
		ids[e.ID] = true
		require.False(t, e.Time.Before(last), e.ID)
		last = e.Time
	}
}

func TestStoppingEarlyIsHarmless(t *testing.T) {
	t.Parallel()
	n := 0
	for range (simulate.Config{Schools: 2, Students: 30, Days: 10}).Events() {
		if n++; n == 50 {
			break
		}
	}
	require.Equal(t, 50, n)
}

func TestValidateNamesAllFaults(t *testing.T) {
	t.Parallel()
	require.NoError(t, year.Validate())
	err := simulate.Config{Students: -1, Days: 1000}.Validate()
	for _, word := range []string{"schools", "students", "days"} {
		require.ErrorContains(t, err, word)
	}
}

// The figures of a school year lie where those of real schools do.
func TestYearIsCredible(t *testing.T) {
	t.Parallel()
	type tally struct{ marks, absent, late int }
	var all tally
	byStudent := make(map[string]*tally)
	byDay := make(map[domain.Date]*tally)
	follows, streaks := 0, 0
	yesterday := make(map[string]bool)
	corrections := 0
	for e := range year.School(0).Events() {
		switch data := e.Data.(type) {
		case *attendance.Corrected:
			corrections++
		case *attendance.Marked:
			if byStudent[data.StudentID] == nil {
				byStudent[data.StudentID] = &tally{}
			}
			if byDay[data.Date] == nil {
				byDay[data.Date] = &tally{}
			}
			away := data.Status == attendance.AbsentExcused || data.Status == attendance.AbsentUnexcused
			for _, t := range []*tally{&all, byStudent[data.StudentID], byDay[data.Date]} {
				t.marks++
				if away {
					t.absent++
				}
				if data.Status == attendance.Late {
					t.late++
				}
			}
			if yesterday[data.StudentID] {
				follows++
				if away {
					streaks++
				}
			}
			yesterday[data.StudentID] = away
		}
	}
	share := func(n, of int) float64 { return float64(n) / float64(of) }
	require.InDelta(t, 0.05, share(all.absent, all.marks), 0.02, "absence")
	require.InDelta(t, 0.02, share(all.late, all.marks), 0.01, "lateness")
	require.Greater(t, share(streaks, follows), 0.35, "illness lasts")
	require.Positive(t, corrections)
	chronic := 0
	for _, s := range byStudent {
		if share(s.absent, s.marks) > 0.1 {
			chronic++
		}
	}
	require.InDelta(t, 0.09, share(chronic, len(byStudent)), 0.06, "chronic absence")
	month := func(m time.Month) float64 {
		var sum tally
		for day, d := range byDay {
			if day.Time().Month() == m {
				sum.marks += d.marks
				sum.absent += d.absent
			}
		}
		return share(sum.absent, sum.marks)
	}
	require.Greater(t, max(month(time.January), month(time.February)), 1.3*month(time.September), "winter wave")
}

func TestScoresFollowAbility(t *testing.T) {
	t.Parallel()
	type mean struct{ sum, n float64 }
	add := func(m map[string]*mean, key string, v float64) {
		if m[key] == nil {
			m[key] = &mean{}
		}
		m[key].sum += v
		m[key].n++
	}
	bySubject, first, third := map[string]*mean{}, map[string]*mean{}, map[string]*mean{}
	for e := range year.School(1).Events() {
		s, ok := e.Data.(*assessment.Scored)
		if !ok {
			continue
		}
		share := s.Score.Float64() / s.MaxScore.Float64()
		add(bySubject, s.SubjectName, share)
		switch s.Term {
		case "1":
			add(first, s.StudentID, share)
		case "3":
			add(third, s.StudentID, share)
		}
	}
	require.Len(t, bySubject, 6)
	require.Greater(t, bySubject["Music"].sum/bySubject["Music"].n, bySubject["Mathematics"].sum/bySubject["Mathematics"].n)
	var xs, ys []float64
	for id, m := range first {
		if l := third[id]; l != nil {
			xs, ys = append(xs, m.sum/m.n), append(ys, l.sum/l.n)
		}
	}
	mx, sx := moments(xs)
	my, sy := moments(ys)
	r := 0.0
	for i := range xs {
		r += (xs[i] - mx) / sx * (ys[i] - my) / sy
	}
	require.Greater(t, r/float64(len(xs)), 0.8, "who is good in the first term is good in the third")
	require.Greater(t, my, mx, "students learn")
	require.InDelta(t, 0.68, mx, 0.08)
	require.InDelta(t, 0.11, sx, 0.04)
}

func moments(xs []float64) (mean, deviation float64) {
	for _, x := range xs {
		mean += x / float64(len(xs))
	}
	for _, x := range xs {
		deviation += (x - mean) * (x - mean) / float64(len(xs))
	}
	return mean, math.Sqrt(deviation)
}

// Money adds up: no invoice is paid beyond what it asks for, most is collected, some of it late.
func TestFeesAddUp(t *testing.T) {
	t.Parallel()
	type account struct {
		amount, paid, waived, credited int64
		due                            domain.Date
	}
	invoices := make(map[string]*account)
	payments := make(map[string]*fee.PaymentReceived)
	types := make(map[string]int)
	late, collected, asked := 0, int64(0), int64(0)
	for e := range year.School(4).Events() {
		types[e.Type]++
		switch data := e.Data.(type) {
		case *fee.Invoiced:
			invoices[data.InvoiceID] = &account{amount: data.Amount, due: data.DueOn}
			asked += data.Amount
		case *fee.PaymentReceived:
			a := invoices[data.InvoiceID]
			a.paid += data.Amount
			collected += data.Amount
			payments[data.PaymentID] = data
			if domain.DateOf(e.Time) > a.due {
				late++
			}
		case *fee.PaymentReversed:
			p := payments[data.PaymentID]
			invoices[p.InvoiceID].paid -= p.Amount
			collected -= p.Amount
		case *fee.Credited:
			invoices[data.InvoiceID].credited += data.Amount
		case *fee.Waived:
			invoices[data.InvoiceID].waived += data.Amount
		}
	}
	for id, a := range invoices {
		require.LessOrEqual(t, a.paid+a.waived+a.credited, a.amount, id)
		require.GreaterOrEqual(t, a.paid, int64(0), id)
	}
	require.InDelta(t, 0.88, float64(collected)/float64(asked), 0.08, "collected")
	require.InDelta(t, 0.22, float64(late)/float64(len(payments)), 0.1, "late payments")
	for _, ty := range []string{fee.TypeWaived, fee.TypeCredited, fee.TypePaymentReversed, fee.TypeReminderDue, student.TypeWithdrawn} {
		require.Positive(t, types[ty], ty)
	}
}

func BenchmarkEvents(b *testing.B) {
	b.ReportAllocs()
	n := 0
	for n < b.N {
		for range (simulate.Config{Schools: 20, Students: 200, Days: 60, Seed: 1}).Events() {
			if n++; n >= b.N {
				break
			}
		}
	}
}
