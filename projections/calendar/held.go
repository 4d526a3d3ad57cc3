package calendar

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
)

// What an import compares with: each function returns what a school has of the things given, nil
// where it has nothing.

// HeldYears looks years up by their names.
func HeldYears(
	ctx context.Context, tx pgx.Tx, school string, of []*calendar.YearSet,
) ([]*calendar.YearSet, error) {
	held := make([]*calendar.YearSet, len(of))
	if len(of) == 0 {
		return held, nil
	}
	years, err := Years(ctx, tx, school)
	for i, y := range of {
		if at := slices.IndexFunc(years,
			func(have calendar.YearSet) bool { return have.Year == y.Year }); at >= 0 {
			held[i] = &years[at]
		}
	}
	return held, err
}

// HeldDays looks days up by their dates and classes. A day of several classes is there when the same
// was said of all of them.
func HeldDays(
	ctx context.Context, tx pgx.Tx, school string, of []*calendar.DaySet,
) ([]*calendar.DaySet, error) {
	held := make([]*calendar.DaySet, len(of))
	if len(of) == 0 {
		return held, nil
	}
	first, last := of[0].Date, of[0].Date
	for _, d := range of {
		first, last = min(first, d.Date), max(last, d.Date)
	}
	days, err := daysBetween(ctx, tx, school, first, last)
	if err != nil {
		return nil, err
	}
	type key struct {
		date  domain.Date
		class string
	}
	have := make(map[key]classDay, len(days))
	for _, d := range days {
		have[key{d.date, d.classID}] = d
	}
	for i, d := range of {
		classes := d.ClassIDs
		if len(classes) == 0 {
			classes = []string{""}
		}
		found := have[key{d.Date, classes[0]}]
		same := true
		for _, class := range classes {
			of := have[key{d.Date, class}]
			same = same && of.kind == found.kind && of.note == found.note
		}
		switch {
		case found.kind == "":
		case same:
			held[i] = &calendar.DaySet{
				Date: d.Date, Kind: found.kind, ClassIDs: d.ClassIDs, Note: found.note,
			}
		default:
			held[i] = &calendar.DaySet{Date: d.Date}
		}
	}
	return held, nil
}
