package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/query"
)

type exportCommand struct {
	remote `embed:""`

	Dir      string   `arg:"" placeholder:"DIR" help:"Directory to write to; it is created, and must be empty."`
	School   schoolID `required:"" placeholder:"S" help:"School to export."`
	Position string   `placeholder:"POSITION" help:"Cover this position of the log at least, for example 7:1042-k3f9a."`
	JSON     bool     `name:"json" help:"Print JSON."`
}

func (*exportCommand) Help() string {
	return `Writes what the queries of a school return as CSV files, one for each table, with all rows: RFC 4180 in UTF-8
with a header row. export.json lists the files, each with the position of the log that it covers, its rows and its
digest. Everything is as the token may see it; what it may not request is left out and listed.

Examples:

  schoolbell export ./oak --school oak
  SCHOOLBELL_TOKEN=$(schoolbell token --school oak --sub ada --role office) schoolbell export ./oak --school oak`
}

// export is what export.json says.
type export struct {
	School  string         `json:"school"`
	At      time.Time      `json:"at"`
	Files   []exportedFile `json:"files"`
	LeftOut []string       `json:"left_out"` // queries that the token may not send
}

// exportedFile is one table.
type exportedFile struct {
	Name     string `json:"name"`
	Query    string `json:"query"`
	Table    string `json:"table"`
	Position string `json:"position"`
	Parked   string `json:"parked"` // subjects whose latest events are missing
	Rows     int    `json:"rows"`
	SHA256   string `json:"sha256"`
}

func (c *exportCommand) Run(ctx context.Context, io streams) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil { // it will hold what is known of children
		return err
	}
	if there, err := os.ReadDir(c.Dir); err != nil || len(there) > 0 {
		return cmp.Or(err, fmt.Errorf("%s is not empty", c.Dir))
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	done := export{School: string(c.School), At: time.Now().UTC(), LeftOut: []string{}}
	for _, e := range catalog.Queries() {
		info := e.Info()
		if strings.Contains(info.Path, "{") {
			continue // about one person or thing: the lists have all of them
		}
		for _, table := range info.Tables {
			file, err := c.write(ctx, api, info, table)
			if refusal, ok := errors.AsType[*client.Problem](err); ok &&
				refusal.Status == http.StatusForbidden {
				done.LeftOut = append(done.LeftOut, info.Name)
				break
			}
			if err != nil {
				return err
			}
			done.Files = append(done.Files, file)
		}
	}
	list, err := os.OpenFile(filepath.Join(c.Dir, "export.json"), os.O_CREATE|os.O_EXCL|os.O_WRONLY,
		0o600)
	if err != nil {
		return err
	}
	if err := cmp.Or(printJSON(list, done), list.Close()); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, done)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\tROWS\tPOSITION")
	for _, f := range done.Files {
		fmt.Fprintf(w, "%s\t%d\t%s\n", f.Name, f.Rows, f.Position)
	}
	for _, name := range done.LeftOut {
		fmt.Fprintf(w, "(%s: the token may not)\t\t\n", name)
	}
	return w.Flush()
}

// write writes one table to its file.
func (c *exportCommand) write(
	ctx context.Context, api *client.Client, q query.Info, t *query.Table,
) (of exportedFile, err error) {
	of = exportedFile{Name: q.Name + ".csv", Query: q.Name, Table: t.Name}
	if t != q.Tables[0] {
		of.Name = q.Name + "-" + t.Name + ".csv"
	}
	file, err := os.OpenFile(filepath.Join(c.Dir, of.Name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return of, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	header, err := api.Save(ctx, "/v1/schools/"+url.PathEscape(string(c.School))+q.Path+"?"+
		url.Values{"format": {"csv"}, "table": {t.Name}}.Encode(), c.Position, file)
	if err != nil {
		return of, errors.Join(err, os.Remove(file.Name()))
	}
	of.Position, of.Parked = header.Get("Schoolbell-Position"), header.Get("Schoolbell-Parked")
	of.Rows, of.SHA256, err = measure(file)
	return of, err
}

// measure counts the rows of a file, without its header, and takes its digest.
func measure(file *os.File) (rows int, digest string, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return 0, "", err
	}
	sum := sha256.New()
	records := csv.NewReader(bufio.NewReader(io.TeeReader(file, sum)))
	records.ReuseRecord = true
	for rows = -1; ; rows++ {
		if _, err := records.Read(); errors.Is(err, io.EOF) {
			return rows, hex.EncodeToString(sum.Sum(nil)), nil
		} else if err != nil {
			return rows, "", fmt.Errorf("read %s: %w", file.Name(), err)
		}
	}
}
