package edfi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
)

// Source is the CloudEvents source of all imported events.
const Source = "edfi"

// passes is how often each file is read.
const passes = 2

// Import is a directory of interchange files after the first pass.
type Import struct {
	files     []File
	dir       fs.FS
	directory *directory
	progress  func(read, total int64)
	read      int64
	total     int64

	// of the second pass
	report Report
	yield  func(*domain.Envelope) error
	marks  map[[16]byte]string // student, day and session → category
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

// Events reads the files again and yields their events: students first, then their guardians,
// staff, assessments, scores and attendance. Every event is valid. It stops at the first error,
// also of yield. It must be called only once.
func (im *Import) Events(ctx context.Context, yield func(*domain.Envelope) error) (*Report, error) {
	im.yield = yield
	im.marks = make(map[[16]byte]string)
	im.report = Report{
		Files:   im.files,
		Events:  make(map[string]int),
		Placed:  make(map[Evidence]int),
		schools: make(map[string]*School),
	}
	for id, s := range im.directory.schools {
		im.report.school(id).Name = s.name
	}
	for i := range im.files {
		if err := im.scan(ctx, &im.files[i], im.convert); err != nil {
			return nil, err
		}
	}
	im.report.sort()
	return &im.report, nil
}

// emit yields an event about a record if it is valid, and otherwise reports the record.
func (im *Import) emit(e *element, key, school string, at time.Time, wireType string,
	data domain.Event,
) (bool, error) {
	f := domain.Faults{Day: domain.DateOf(at)}
	f.ID("/school", school)
	data.Validate(&f)
	if len(f.List) > 0 {
		im.report.unused(e.name, key, f.List[0].Pointer+" "+f.List[0].Reason)
		return false, nil
	}
	body, err := json.Marshal(data)
	if err != nil {
		return false, fmt.Errorf("encode %s %s: %w", e.name, key, err)
	}
	event := &domain.Envelope{
		ID:      contentID(school, wireType, body),
		Source:  Source,
		Type:    wireType,
		School:  school,
		Subject: data.Subject(),
		Time:    at,
		Data:    data,
	}
	im.report.count(event)
	return true, im.yield(event)
}

// contentID derives an event's id from its content.
func contentID(school, wireType string, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", school, wireType)
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil)[:16])
}
