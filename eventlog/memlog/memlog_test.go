package memlog_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/logtest"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLog(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(*testing.T) *logtest.Harness {
		log := memlog.New(4)
		return &logtest.Harness{
			Open:           func(*testing.T) eventlog.Log { return log.Open() },
			Partitions:     4,
			MaxRecordBytes: memlog.MaxRecordBytes,
			Truncate:       func(_ *testing.T, partition int32, before int64) { log.Truncate(partition, before) },
			Recreate:       func(*testing.T) { log.Recreate() },
			Committed: func(_ *testing.T, group string, partition int32) (int64, bool) {
				return log.Committed(group, partition)
			},
			Stop:  func(*testing.T) { log.Stop() },
			Start: func(*testing.T) { log.Start() },
		}
	})
}
