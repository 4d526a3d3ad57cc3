package imports

import (
	"errors"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// SetApplyBatch makes Apply write so few events at once that tests can stop it in the middle.
func SetApplyBatch(n int) (restore func()) {
	was := applyBatch
	applyBatch = int64(n)
	return func() { applyBatch = was }
}

// PlanOf returns the facts of a plan against tables, of a package that is not compressed.
func PlanOf(text string, tables Tables) (facts []domain.Event, err error) {
	now := time.Now().UTC()
	c, err := readContents(strings.NewReader(text), domain.DateOf(now))
	if err != nil {
		return nil, err
	}
	have, err := tables.Roster(domain.DateOf(now))
	if err != nil {
		return nil, err
	}
	cmp := &comparison{
		contents: c, have: have, now: now, today: domain.DateOf(now), tally: Tally{},
		emit: func(f fact) error { facts = append(facts, f.Data); return nil },
	}
	return facts, errors.Join(cmp.begin(), cmp.compareFacts(strings.NewReader(text), tables), cmp.end())
}
