package imports_test

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// A large school is planned within the time that a request may take: with nothing in the tables,
// and with everything in them. In the long tier it has 50,000 students and 360,000 memberships.
func TestPlanOfALargeSchool(t *testing.T) {
	n := devtest.Size(t, "SCHOOLBELL_IMPORT_STUDENTS", 500, 50_000)
	s := newStack(t)
	packed := largePackage(t, n)
	measure := func(what string) *imports.Plan {
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		debug.SetGCPercent(50) // so that the peak is of what is held
		defer debug.SetGCPercent(100)
		stop, peak := make(chan struct{}), make(chan uint64)
		go func() {
			highest := uint64(0)
			for {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				highest = max(highest, m.HeapAlloc)
				select {
				case <-stop:
					peak <- highest
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}()
		began, cpu := time.Now(), processorTime()
		plan, err := s.imports(s.log).Plan(t.Context(), "large", "office", packed, false)
		took, used := time.Since(began), processorTime()-cpu
		close(stop)
		highest := <-peak
		require.NoError(t, err)
		t.Logf("%s: %d students and %d memberships (%.1f MB compressed) planned in %v, %v of a processor, heap at most %d MB above the %d MB of log and engine; %d events",
			what, n, n*36/5, float64(len(packed))/1e6, took.Round(10*time.Millisecond), used.Round(10*time.Millisecond), (highest-before.HeapAlloc)>>20, before.HeapAlloc>>20, plan.Total)
		return plan
	}
	plan := measure("nothing in the tables")
	require.EqualValues(t, n+n*36/5+n/25, plan.Total)
	service := s.imports(s.log)
	began := time.Now()
	for plan.State != imports.Applied {
		var err error
		plan, err = service.Apply(t.Context(), "large", imports.By{User: "office"}, plan.ID, nil)
		require.NoError(t, err)
	}
	t.Logf("applied in %v", time.Since(began).Round(10*time.Millisecond))
	s.roster("large")
	again := measure("everything in the tables")
	require.Zero(t, again.Total)
}

// processorTime is what this process has used; the server of the tables is another.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func largePackage(t *testing.T, students int) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	write := func(v any) {
		require.NoError(t, json.MarshalWrite(zip, v))
		_, err := zip.Write([]byte{'\n'})
		require.NoError(t, err)
	}
	write(complete("sis"))
	classes := students / 25
	for i := range classes {
		write(row(t, imports.KindClass, imports.Class{
			ClassID: fmt.Sprint("section-", i), Title: fmt.Sprint("Section ", i), Kind: "section",
		}))
	}
	on := today().AddDays(-60)
	for i := range students {
		write(row(t, imports.KindStudent, imports.Student{
			StudentID: fmt.Sprint("student-", i), GivenName: fmt.Sprint("Given", i%977),
			FamilyName: fmt.Sprint("Family", i%3571), ClassID: fmt.Sprint("home-", i/25),
			BirthDate: domain.To(on.AddDays(-4000 - i%3000)), On: on,
		}))
	}
	for i := range students * 36 / 5 { // 7.2 for each
		write(row(t, imports.KindAttending, imports.Membership{
			MembershipID: fmt.Sprint("membership-", i), ClassID: fmt.Sprint("section-", i%classes),
			PersonID: fmt.Sprint("student-", i%students), Role: membership.Student, From: on,
		}))
	}
	require.NoError(t, zip.Close())
	return out.Bytes()
}
