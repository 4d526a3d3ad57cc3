package edfi

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of a record, that is an element directly below the root. They bound the memory that any
// input can use; the largest records of real files (a student assessment with all its parts) are
// about 20 KiB and seven levels deep.
const (
	maxRecordBytes    = 1 << 20
	maxRecordElements = 10_000
	maxDepth          = 32
)

// errRecordTooLarge stops reading a file: what follows a record without an end cannot be trusted.
var errRecordTooLarge = fmt.Errorf("record is larger than %d bytes or %d elements", maxRecordBytes,
	maxRecordElements)

// scan calls visit for each record of an interchange file, with memory for one record at a time. It
// returns the name of the root element. An error names the line where reading stopped.
func scan(r io.Reader, visit func(*element) error) (root string, err error) {
	budget := &budgetReader{r: r, left: maxRecordBytes}
	dec := xml.NewDecoder(budget)
	dec.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("encoding %q is not supported: convert the file to UTF-8", charset)
	}
	for closed := false; ; {
		budget.left = maxRecordBytes
		line, column := dec.InputPos()
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && root != "" {
			return root, nil
		}
		if errors.Is(err, io.EOF) {
			err = errors.New("file has no root element")
		}
		if err != nil {
			return root, atLine(dec, err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if root == "" {
				root = nameOf(t.Name.Local)
				continue
			}
			if closed {
				return root, atLine(dec, errors.New("file has more than one root element"))
			}
			record, err := readRecord(dec, t)
			if err != nil {
				return root, atLine(dec, err)
			}
			record.line, record.column = line, column
			if err := visit(record); err != nil {
				return root, err
			}
		case xml.EndElement:
			closed = true
		case xml.Directive:
			return root, atLine(dec, errors.New("document type declarations are not accepted"))
		}
	}
}

// atLine adds the line to an error: a file may have millions of them.
func atLine(dec *xml.Decoder, err error) error {
	if errors.As(err, new(*xml.SyntaxError)) {
		return err // it names the line itself
	}
	line, _ := dec.InputPos()
	return fmt.Errorf("line %d: %w", line, err)
}

// readRecord reads the rest of an element whose start has been read.
func readRecord(dec *xml.Decoder, start xml.StartElement) (*element, error) {
	open := make([]element, 1, 8)
	open[0] = newElement(start)
	var text strings.Builder
	for count := 1; ; {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if count++; count > maxRecordElements {
				return nil, errRecordTooLarge
			}
			if len(open) == maxDepth {
				return nil,
					fmt.Errorf("record %s is nested more than %d levels deep", open[0].name,
						maxDepth)
			}
			open = append(open, newElement(t))
			text.Reset()
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			last := len(open) - 1
			closed := open[last]
			if len(closed.kids) == 0 {
				closed.text = strings.TrimSpace(text.String())
			}
			text.Reset()
			if last == 0 {
				return &closed, nil
			}
			open = open[:last]
			open[last-1].kids = append(open[last-1].kids, closed)
		case xml.Directive:
			return nil, errors.New("document type declarations are not accepted")
		}
	}
}

func newElement(start xml.StartElement) element {
	e := element{name: nameOf(start.Name.Local)}
	for _, a := range start.Attr {
		switch a.Name.Local {
		case "id":
			e.id = a.Value
		case "ref":
			e.ref = a.Value
		}
	}
	return e
}

// budgetReader fails when more than its budget is read, so that the decoder never buffers more than
// one record's worth of text, attribute or comment.
type budgetReader struct {
	r    io.Reader
	left int
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errRecordTooLarge
	}
	if len(p) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}
