package plan_test

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/edfi"
)

// The sample district that Ed-Fi publishes, with texts about absences on and their age unlimited. How many texts there
// must be is counted from its files by other means than the importer's and the planner's.
func TestTextsOfAWholeDistrict(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SCHOOLBELL_EDFI_DIR")
	if dir == "" {
		t.Skip("SCHOOLBELL_EDFI_DIR does not name a directory of Ed-Fi interchange files")
	}
	want, excused := wantedTexts(t, dir)

	im, err := edfi.Open(t.Context(), os.DirFS(dir), nil)
	require.NoError(t, err)
	schools := map[string]*scenario{}
	settings := &consumers.Settings{Rules: map[string]consumers.Rule{"absence": {MaxAge: -1}}}
	got, texts := map[day]int{}, 0
	_, err = im.Events(t.Context(), func(e *domain.Envelope) error {
		s := schools[e.School]
		if s == nil {
			s = newScenario(t, settings)
			schools[e.School] = s
		}
		s.known.Add(e)
		imported := time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC) // years later
		for _, d := range s.plan(t, e, imported) {
			require.Equal(t, "absence", d.Planner, "nothing else is worth telling after so long")
			require.Equal(t, consumers.SMS, d.Channel)
			date, _ := d.Params["date"].(string)
			got[day{e.School, d.About, date}]++
			texts++
		}
		return nil
	})
	require.NoError(t, err)

	total := 0
	for a, n := range want {
		require.Equal(t, n, got[a], "%v", a)
		total += n
	}
	require.Equal(t, total, texts)
	t.Logf("%d unexcused absences of students whose primary guardian has a telephone, %d texts; %d excused ones, no text", total, texts, excused)
}

// day is one of a student; more than one mark may be made on it.
type day struct{ school, student, date string }

// wantedTexts counts, by school, student and day, the unexcused absences of students whose primary contact has a
// telephone that is not a fax.
func wantedTexts(t *testing.T, dir string) (texts map[day]int, excused int) {
	t.Helper()
	var contacts struct {
		Contacts []struct {
			ID    string   `xml:"id,attr"`
			Kinds []string `xml:"Telephone>TelephoneNumberType"`
		} `xml:"Contact"`
		Relations []struct {
			Student string `xml:"StudentReference>StudentIdentity>StudentUniqueId"`
			Contact struct {
				Ref string `xml:"ref,attr"`
			} `xml:"ContactReference"`
			Primary bool `xml:"PrimaryContactStatus"`
		} `xml:"StudentContactAssociation"`
	}
	decode(t, dir, "Contact.xml", &contacts)
	dialled := map[string]bool{}
	for _, c := range contacts.Contacts {
		for _, kind := range c.Kinds {
			if !strings.HasSuffix(kind, "#Fax") {
				dialled[c.ID] = true
			}
		}
	}
	reached := map[string]bool{}
	for _, r := range contacts.Relations {
		if r.Primary && dialled[r.Contact.Ref] {
			reached[r.Student] = true
		}
	}
	var attendance struct {
		Events []struct {
			Date     string `xml:"AttendanceEvent>EventDate"`
			Category string `xml:"AttendanceEvent>AttendanceEventCategory"`
			School   string `xml:"SchoolReference>SchoolIdentity>SchoolId"`
			Student  string `xml:"StudentReference>StudentIdentity>StudentUniqueId"`
		} `xml:"StudentSchoolAttendanceEvent"`
	}
	decode(t, dir, "StudentSchoolAttendance.xml", &attendance)
	texts = map[day]int{}
	for _, e := range attendance.Events {
		switch {
		case strings.HasSuffix(e.Category, "#Unexcused Absence") && reached[e.Student]:
			texts[day{e.School, e.Student, e.Date}]++
		case strings.HasSuffix(e.Category, "#Excused Absence"):
			excused++
		}
	}
	return texts, excused
}

func decode(t *testing.T, dir, name string, v any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(content, v))
}
