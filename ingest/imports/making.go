package imports

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// maxUnpacked bounds a package after decompression.
const maxUnpacked = 1 << 30

// making is a plan in the making.
type making struct {
	school, user string
	packed       []byte // the package
	adopt        bool
	now          time.Time
	today        domain.Date
	share        float64

	contents *contents
	sha256   string
}

// read reads the package for the first time.
func (m *making) read() error {
	hash := sha256.New()
	unpacked, err := unpacking(m.packed)
	if err != nil {
		return err
	}
	// A day may be a year ahead of both the school's and that of the events.
	today := min(m.today, domain.DateOf(m.now))
	m.contents, err = readContents(io.TeeReader(unpacked, hash), today)
	m.sha256 = hex.EncodeToString(hash.Sum(nil))
	return err
}

// compare makes the plan against tables at a position.
func (m *making) compare(base domain.Position, tables Tables) (*stored, error) {
	s := &stored{
		Plan: Plan{
			Source: m.contents.Source, State: Planned, SHA256: m.sha256, Base: base, On: m.today,
			Adopt: m.adopt, Rows: Tally{}, Events: map[string]int64{},
			CreatedAt: m.now, CreatedBy: m.user, ExpiresAt: m.now.Add(keepPlan),
		},
		packed: m.packed,
	}
	salt := fmt.Sprint(m.sha256, "\n", m.adopt, "\n", m.school, "\n", base, "\n", m.today, "\n")
	s.ID = idOf(salt)
	w := newEventWriter(s, m.school, salt)
	have, err := tables.Roster(m.today)
	if err != nil {
		return nil, err
	}
	parked, err := tables.Parked()
	if err != nil {
		return nil, err
	}
	if parked[""] {
		return nil, ErrParked
	}
	c := &comparison{
		contents: m.contents, have: have, parked: parked, adopt: m.adopt, now: m.now,
		today: m.today, tally: s.Rows, emit: w.write,
	}
	again, err := unpacking(m.packed)
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		c.begin, func() error { return c.compareFacts(again, tables) }, c.end, w.close,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	s.Refused, s.Asks = c.refused, c.asks(m.share)
	return s, nil
}

// eventWriter gives facts their ids and writes them as NDJSON.
type eventWriter struct {
	plan   *stored
	school string
	salt   string
	digest hashWriter
	out    bytes.Buffer
	zip    *gzip.Writer
	line   []byte
}

type hashWriter interface {
	io.Writer
	Sum([]byte) []byte
}

func newEventWriter(s *stored, school, salt string) *eventWriter {
	w := &eventWriter{plan: s, school: school, salt: salt, digest: sha256.New()}
	w.zip, _ = gzip.NewWriterLevel(&w.out, gzip.BestSpeed) // the level is valid
	return w
}

func (w *eventWriter) write(f fact) error {
	e := &domain.Envelope{
		Source: w.plan.Source, Type: f.Type, School: w.school, Subject: f.Data.Subject(),
		Time: f.Time, Data: f.Data,
	}
	record, err := cloudevents.Encode(e)
	if err != nil {
		return fmt.Errorf("encode %s: %w", f.Type, err)
	}
	e.ID = idOf(w.salt, f.Type, "\n", string(record.Value))
	fmt.Fprintf(w.digest, "%s\n%s\n", f.Type, record.Value)
	if w.line, err = cloudevents.AppendStructured(w.line[:0], e); err != nil {
		return fmt.Errorf("encode %s: %w", f.Type, err)
	}
	w.plan.Events[f.Type]++
	w.plan.Total++
	_, err = w.zip.Write(append(w.line, '\n'))
	return err
}

func (w *eventWriter) close() error {
	w.plan.digest = hex.EncodeToString(w.digest.Sum(nil))
	err := w.zip.Close()
	w.plan.records = w.out.Bytes()
	return err
}

// idOf derives an id from what it stands for, so that a repetition after a crash has the same one.
func idOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = io.WriteString(h, p) // a hash does not fail
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// unpacking decompresses while it is read.
func unpacking(packed []byte) (io.Reader, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, &PackageError{1, "cannot be read: " + err.Error()}
	}
	return &bounded{z, maxUnpacked}, nil
}

// unpack decompresses as a whole.
func unpack(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("decompress events: %w", err)
	}
	return io.ReadAll(z)
}

var errTooLarge = errors.New("the package has more than 1 GiB")

// bounded fails beyond a limit, where [io.LimitReader] would cut a package off and say nothing.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
