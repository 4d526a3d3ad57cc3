package catalog_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/internal/golden"
)

// Who sees what of each event is written into a file, so that a change of it is seen in review and
// never made by accident.
func TestP10_GoldenOfWhoSeesEachEvent(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "event\tself\tfamily\taccounts\tteaching\tpublic")
	for _, f := range catalog.Facts() {
		if f.Upcast != nil {
			continue // only the newest version is ever shown
		}
		e, before := f.New(), f.New()
		fill(reflect.ValueOf(e).Elem())
		fill(reflect.ValueOf(before).Elem())
		require.Equal(t, e, domain.See(e, domain.Administration), f.Type)
		line := f.Type
		for a := domain.Self; int(a) < domain.AudienceCount; a++ {
			line += "\t" + shown(e, domain.See(e, a))
		}
		fmt.Fprintln(w, line)
		require.Nil(t, domain.See(e, domain.Audience(domain.AudienceCount)),
			"an audience that does not exist")
		require.Empty(t, cmp.Diff(before, e), "looking at %s changes it", f.Type)
	}
	require.NoError(t, w.Flush())
	golden.Check(t, "testdata/audiences.txt", out.Bytes())
}

// shown is "all", "-", or what a view lacks or has replaced.
func shown(e, seen domain.Event) string {
	switch seen {
	case nil:
		return "-"
	case e:
		return "all"
	}
	var without []string
	x, y := reflect.ValueOf(e).Elem(), reflect.ValueOf(seen).Elem()
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			name, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("json"), ",")
			without = append(without, name)
		}
	}
	return "without " + strings.Join(without, ", ")
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
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			if f.Index(0).Kind() == reflect.String {
				f.Index(0).SetString("x")
			} else {
				fill(f.Index(0))
			}
		case reflect.Struct:
			fill(f)
		}
	}
}
