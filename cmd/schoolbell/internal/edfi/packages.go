package edfi

import (
	"bytes"
	"context"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/gzip"

	"github.com/schoolbell/schoolbell/ingest/imports"
)

// Packages reads the files again and makes a package for each school, compressed with gzip. Like
// [Import.Rows] it must be called only once.
func (im *Import) Packages(ctx context.Context) (map[string][]byte, *Report, error) {
	header, err := json.Marshal(im.Header())
	if err != nil {
		return nil, nil, err
	}
	type writer struct {
		*gzip.Writer
		out bytes.Buffer
	}
	writers := make(map[string]*writer)
	var ofAny []byte // rows of which the school is not known: they may be of any
	report, err := im.Rows(ctx, func(school string, row *imports.Row) error {
		line, err := json.Marshal(row)
		if err != nil {
			return err
		}
		line = append(line, '\n')
		if school == "" {
			ofAny = append(ofAny, line...)
			return nil
		}
		w := writers[school]
		if w == nil {
			w = &writer{}
			w.Writer = gzip.NewWriter(&w.out)
			writers[school] = w
			line = slices.Concat(header, []byte{'\n'}, line)
		}
		_, err = w.Write(line)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	packages := make(map[string][]byte, len(writers))
	for school, w := range writers {
		if _, err := w.Write(ofAny); err != nil {
			return nil, nil, err
		}
		if err := w.Close(); err != nil {
			return nil, nil, err
		}
		packages[school] = w.out.Bytes()
	}
	return packages, report, nil
}
