package catalog_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
)

// Who sees what of each event: "all", "part" or nothing. A new event has to be entered here, so that somebody decides.
func TestP10_WhoSeesEachEvent(t *testing.T) {
	t.Parallel()
	const all, part, none = "all", "part", ""
	type seen struct{ self, family, accounts, teaching, public string }
	want := map[string]seen{
		"schoolbell.student.enrolled.v1":             {all, all, part, all, none},
		"schoolbell.student.class_changed.v1":        {all, all, all, all, none},
		"schoolbell.student.withdrawn.v1":            {all, all, part, part, none},
		"schoolbell.guardian.linked.v1":              {all, part, part, part, none},
		"schoolbell.guardian.contact_changed.v1":     {all, none, none, none, none},
		"schoolbell.staff.assigned.v1":               {all, none, none, none, none},
		"schoolbell.attendance.marked.v1":            {all, all, none, part, none},
		"schoolbell.attendance.corrected.v1":         {all, all, none, part, none},
		"schoolbell.assessment.scheduled.v1":         {all, all, none, all, all},
		"schoolbell.assessment.scored.v1":            {none, none, none, all, none},
		"schoolbell.assessment.score_corrected.v1":   {none, none, none, all, none},
		"schoolbell.assessment.remarked.v1":          {none, none, none, all, none},
		"schoolbell.assessment.results_published.v1": {all, all, none, all, all},
		"schoolbell.fee.invoiced.v1":                 {none, all, all, none, none},
		"schoolbell.fee.payment_received.v1":         {none, all, all, none, none},
		"schoolbell.fee.payment_reversed.v1":         {none, all, all, none, none},
		"schoolbell.fee.waived.v1":                   {none, all, all, none, none},
		"schoolbell.fee.reminder_due.v1":             {none, all, all, none, none},
		"schoolbell.fee.statement_requested.v1":      {none, all, all, none, none},
		"schoolbell.announcement.posted.v1":          {all, all, none, all, all},
		"schoolbell.delivery.sent.v1":                {part, none, none, none, none},
		"schoolbell.delivery.delivered.v1":           {part, none, none, none, none},
		"schoolbell.delivery.failed.v1":              {part, none, none, none, none},
		"schoolbell.document.rendered.v1":            {none, all, none, none, none},
	}
	// What a part lacks.
	secret := map[string][]string{
		"schoolbell.student.enrolled.v1":     {"BirthDate", "PhotoURL"},
		"schoolbell.student.withdrawn.v1":    {"Reason"},
		"schoolbell.guardian.linked.v1":      {"Phone", "Email"},
		"schoolbell.attendance.marked.v1":    {"Reason"},
		"schoolbell.attendance.corrected.v1": {"Reason"},
		"schoolbell.delivery.sent.v1":        {"Provider", "ProviderID", "Cost", "Error"},
		"schoolbell.delivery.delivered.v1":   {"Provider", "ProviderID", "Cost", "Error"},
		"schoolbell.delivery.failed.v1":      {"Provider", "ProviderID", "Cost", "Error"},
	}
	for _, f := range catalog.Facts() {
		if f.Upcast != nil {
			continue // only the newest version is ever shown
		}
		w, decided := want[f.Type]
		require.True(t, decided, "nobody has decided who sees %s", f.Type)
		e := f.New()
		fill(reflect.ValueOf(e).Elem())
		before := f.New()
		fill(reflect.ValueOf(before).Elem())
		require.Equal(t, e, domain.See(e, domain.Office), f.Type)
		for a, want := range map[domain.Audience]string{
			domain.Self: w.self, domain.Family: w.family, domain.Accounts: w.accounts, domain.Teaching: w.teaching, domain.Public: w.public,
		} {
			got := domain.See(e, a)
			switch want {
			case none:
				require.Nil(t, got, "%s by audience %d", f.Type, a)
			case all:
				require.Same(t, e, got, "%s by audience %d", f.Type, a)
			default:
				require.NotNil(t, got, "%s by audience %d", f.Type, a)
				var changed []string
				x, y := reflect.ValueOf(e).Elem(), reflect.ValueOf(got).Elem()
				for i := range x.NumField() {
					if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
						changed = append(changed, x.Type().Field(i).Name)
					}
				}
				require.Equal(t, secret[f.Type], changed, "%s by audience %d", f.Type, a)
			}
		}
		require.Nil(t, domain.See(e, domain.Audience(domain.AudienceCount)), "an audience that there is not")
		require.Empty(t, cmp.Diff(before, e), "to be looked at changes nothing")
	}
}

// fill gives every field of a struct a value.
func fill(v reflect.Value) {
	for _, f := range v.Fields() {
		switch f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Int64, reflect.Int32:
			f.SetInt(7)
		case reflect.Float64:
			f.SetFloat(7)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{"x"}))
		case reflect.Struct:
			fill(f)
		}
	}
}
