package ingest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// refusing is a log with a partition that is refused until an operator decides.
type refusing struct {
	eventlog.Appender
	partition int32
}

func (r refusing) Append(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	if eventlog.PartitionFor(school, 6) == r.partition {
		return domain.Position{}, &eventlog.Refusal{Partition: r.partition}
	}
	return r.Appender.Append(ctx, school, records)
}

// What goes to a partition of the log that is refused waits, in its order, across restarts; the
// schools of the others do not notice, and none of their events is appended again for it.
func TestP9_ARefusedPartitionOfTheLogHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, devtest.Kafka(t).Brokers(), "inbox")
	home := eventlog.PartitionFor("north", 6)
	other := ""
	for i := 0; other == ""; i++ {
		if s := fmt.Sprint("s", i); eventlog.PartitionFor(s, 6) != home {
			other = s
		}
	}
	// Both schools are in one partition of the inbox.
	c := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var want []string
	write := func(n int) {
		for range n {
			want = append(want, fmt.Sprint(len(want)))
			w.write(c, mark("north", want[len(want)-1]), mark(other, want[len(want)-1]))
		}
	}
	refused := refusing{w.log, home}
	for range 2 { // the second worker finds it refused as well
		stop := w.run(refused)
		write(3)
		w.eventually("the others go on", func() bool { return len(w.ids(other)) == len(want) })
		require.Empty(t, w.ids("north"))
		w.eventually("it is stored that they wait", func() bool {
			var n int
			require.NoError(t, w.pool.QueryRow(t.Context(),
				`SELECT count(*) FROM schoolbell.inbox_waiting WHERE log_partition = $1`, home).Scan(&n))
			return n == 1
		})
		// Positions are stored after the append: another event shows that those are.
		write(1)
		w.eventually("the others go on", func() bool { return len(w.ids(other)) == len(want) })
		stop()
	}
	appended := w.records()
	w.run(w.log)
	write(2)
	w.eventually("those that waited", func() bool { return len(w.ids("north")) == len(want) })
	w.eventually("the others", func() bool { return len(w.ids(other)) == len(want) })
	require.Equal(t, want, w.ids("north"))
	require.Equal(t, want, w.ids(other))
	require.LessOrEqual(t, w.records(), appended+int64(len(want))+2+1,
		"at most what a stopped worker had appended and not stored is appended again")
	w.eventually("nothing waits any more", func() bool {
		var n int
		require.NoError(t, w.pool.QueryRow(t.Context(),
			`SELECT count(*) FROM schoolbell.inbox_waiting`).Scan(&n))
		return n == 0
	})
	require.Empty(t, w.dead())
}
