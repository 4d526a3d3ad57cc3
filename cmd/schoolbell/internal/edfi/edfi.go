package edfi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// Source is the source of all rows, and so of the events that follow from them.
const Source = "edfi"

// passes is how often each file is read.
const passes = 2

// Import is a directory of interchange files after the first pass.
type Import struct {
	files     []File
	file      string // that is being read
	dir       fs.FS
	directory *directory
	progress  func(read, total int64)
	read      int64
	total     int64

	// of the second pass
	report    Report
	yield     func(school string, row *imports.Row) error
	marks     map[[16]byte]string  // student, day and session → category
	attending map[[16]byte]bool    // memberships that a record has named
	days      map[[2]string]string // school and date → kind of day
	used      map[string]int       // records that became rows, by name
}

// Open reads the files of a directory for the first time. progress, if not nil, is called with the
// bytes read so far and the total of both passes.
func Open(ctx context.Context, dir fs.FS, progress func(read, total int64)) (*Import, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	im := &Import{dir: dir, directory: newDirectory(), progress: progress}
	if err := im.list(); err != nil {
		return nil, err
	}
	for i := range im.files {
		f := &im.files[i]
		f.Records = make(map[string]int)
		err := im.scan(ctx, f, func(e *element) error {
			f.Records[e.name]++
			im.directory.index(e)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	im.directory.assignSchools()
	return im, nil
}

// list finds the XML files and orders them by what refers to what.
func (im *Import) list() error {
	entries, err := fs.ReadDir(im.dir, ".")
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	for _, entry := range entries {
		if entry.IsDir() || !strings.EqualFold(path.Ext(entry.Name()), ".xml") {
			continue
		}
		f, err := describe(im.dir, entry.Name())
		if err != nil {
			return err
		}
		im.files = append(im.files, f)
		im.total += passes * f.Bytes
	}
	if len(im.files) == 0 {
		return errors.New("directory holds no XML files")
	}
	slices.SortStableFunc(im.files,
		func(a, b File) int { return cmp.Compare(rank(a.Interchange), rank(b.Interchange)) })
	return nil
}

// describe reads a file up to its root element.
func describe(dir fs.FS, name string) (File, error) {
	r, err := dir.Open(name)
	if err != nil {
		return File{}, fmt.Errorf("open file: %w", err)
	}
	defer func() { _ = r.Close() }() // read-only
	info, err := r.Stat()
	if err != nil {
		return File{}, fmt.Errorf("open file: %w", err)
	}
	root, err := scan(r, func(*element) error { return errStop })
	if err != nil && !errors.Is(err, errStop) {
		return File{}, fmt.Errorf("read %s: %w", name, err)
	}
	if !strings.HasPrefix(root, "Interchange") {
		return File{}, fmt.Errorf("read %s: root element is %s, not an Ed-Fi interchange",
			name, root)
	}
	return File{Name: name, Interchange: root, Bytes: info.Size()}, nil
}

var errStop = errors.New("stop")

// rank is the order in which Ed-Fi's own loader reads the interchanges: what is referred to comes
// first.
func rank(interchange string) int {
	order := []string{
		"InterchangeEducationOrganization", "InterchangeEducationOrgCalendar",
		"InterchangeMasterSchedule",
		"InterchangeStudent", "InterchangeContact", "InterchangeStaffAssociation",
		"InterchangeStudentEnrollment",
		"InterchangeStudentGradebook", "InterchangeStudentAssessment",
		"InterchangeStudentAttendance",
	}
	if i := slices.Index(order, interchange); i >= 0 {
		return i
	}
	return len(order)
}

// scan calls visit for each record of a file until ctx ends.
func (im *Import) scan(ctx context.Context, f *File, visit func(*element) error) error {
	r, err := im.dir.Open(f.Name)
	if err != nil {
		return fmt.Errorf("open file: %w", err)
	}
	defer func() { _ = r.Close() }() // read-only
	im.file = f.Name
	_, err = scan(&counter{r: r, im: im}, func(e *element) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return visit(e)
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Name, err)
	}
	return nil
}

// counter reports progress.
type counter struct {
	r  io.Reader
	im *Import
}

// Read counts what the decoder reads, which may be ahead of the records by a buffer.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.im.read += int64(n)
	c.im.progress(c.im.read, c.im.total)
	return n, err
}

// Header is the first line of each school's package: a kind is complete when the files have the
// records that the standard has for it. Rows that are only inferred never complete one.
func (im *Import) Header() imports.Header {
	records := make(map[string]int)
	for _, f := range im.files {
		for name, n := range f.Records {
			records[name] += n
		}
	}
	h := imports.Header{Source: Source}
	for _, k := range []struct {
		kind imports.Kind
		by   string
	}{
		{imports.KindClass, "Section"},
		{imports.KindStudent, "Student"},
		{imports.KindStaff, "Staff"},
		{imports.KindLink, "StudentContactAssociation"},
		{imports.KindAttending, "StudentSectionAssociation"},
		{imports.KindTeaching, "StaffSectionAssociation"},
	} {
		if records[k.by] > 0 {
			h.Complete = append(h.Complete, k.kind)
		}
	}
	return h
}

// Rows reads the files again and yields the rows of all schools' packages: schools and classes
// first, then students, their guardians, staff, assessments, scores and attendance. A row is valid,
// or says why it was refused; one that is refused belongs to no school, "", when that is not
// known. It stops at the first error, also of yield. It must be called only once.
func (im *Import) Rows(
	ctx context.Context, yield func(school string, row *imports.Row) error,
) (*Report, error) {
	im.yield = yield
	im.marks = make(map[[16]byte]string)
	im.attending = make(map[[16]byte]bool)
	im.days = make(map[[2]string]string)
	im.used = make(map[string]int)
	im.report = Report{
		Files:   im.files,
		Rows:    make(map[imports.Kind]int),
		Placed:  make(map[Evidence]int),
		schools: make(map[string]*School),
	}
	if err := im.classes(); err != nil {
		return nil, err
	}
	for i := range im.files {
		if err := im.scan(ctx, &im.files[i], im.convert); err != nil {
			return nil, err
		}
	}
	im.report.close(im.used)
	return &im.report, nil
}

// emit yields a row that was made of a record if it is valid, and otherwise refuses it.
func (im *Import) emit(
	e *element, kind imports.Kind, key, school string, at time.Time, data rowData,
) (bool, error) {
	var f domain.Faults
	f.ID("/school", school)
	data.Validate(&f)
	if len(f.List) > 0 {
		return false, im.refuse(e, kind, key, school, f.List[0].Pointer+" "+f.List[0].Reason)
	}
	body, err := json.Marshal(data)
	if err != nil {
		return false, fmt.Errorf("encode %s: %w", im.at(e), err)
	}
	im.used[e.name]++
	im.report.count(school, kind, data)
	return true, im.yield(school, &imports.Row{Kind: kind, At: im.at(e), Time: at, Data: body})
}

type rowData interface{ Validate(f *domain.Faults) }

// refuse yields what is known of a row that cannot be used. Its reason has nothing of its content.
func (im *Import) refuse(e *element, kind imports.Kind, key, school, reason string) error {
	im.report.refused(e.name, im.at(e), reason)
	var f domain.Faults
	if f.ID("", key); kind != imports.KindLink && f.Err() != nil {
		key = ""
	}
	if f.ID("", school); f.Err() != nil {
		school = ""
	}
	return im.yield(school, &imports.Row{Kind: kind, At: im.at(e), Refused: reason, Key: key})
}

// at is where a record begins.
func (im *Import) at(e *element) string {
	if e.line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", im.file, e.line, e.column)
}
