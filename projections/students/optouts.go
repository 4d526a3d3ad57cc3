package students

import (
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/projections"
)

// optOuts are the channels by which guardians do not want to be sent anything.
var optOuts = projections.NewTable[optOutKey, optOutRow]("opt_outs")

type optOutKey struct {
	School     string `db:"school"`
	GuardianID string `db:"guardian_id"`
	Channel    string `db:"channel"`
}

type optOutRow struct {
	Because string    `db:"because"`
	Since   time.Time `db:"since"`
}

func optedOut(b *projections.Batch, e *domain.Envelope, m *guardian.OptedOut) error {
	key := optOutKey{e.School, m.GuardianID, m.Channel}
	if _, already := optOuts.Get(b, key); !already {
		optOuts.Put(b, key, optOutRow{m.Because, e.Time.UTC()})
	}
	return nil
}

func optedIn(b *projections.Batch, e *domain.Envelope, m *guardian.OptedIn) error {
	optOuts.Delete(b, optOutKey{e.School, m.GuardianID, m.Channel})
	return nil
}
