package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/schollz/progressbar/v3"

	"github.com/schoolbell/schoolbell/internal/client"
)

// printJSON writes a value for programs to read.
func printJSON(w io.Writer, v any) error {
	return json.MarshalWrite(w, v, jsontext.WithIndent("  "), json.Deterministic(true))
}

// quantity formats a number with what it counts.
func quantity[N int | int64](n N, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// printable escapes what a producer has chosen, so that it can neither control the terminal nor
// break the line.
func printable(s string) string {
	quoted := strconv.Quote(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}

// progress shows a bar on a terminal, and nothing elsewhere. A total of -1 is unknown. Errors of
// the bar are ignored by its callers: it only decorates.
func progress(w io.Writer, total int64, what string, bytes bool) *progressbar.ProgressBar {
	file, ok := w.(*os.File)
	info, err := os.Stderr.Stat()
	visible := ok && file == os.Stderr && err == nil && info.Mode()&os.ModeCharDevice != 0
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30),
	)
}

// printTotals reports how much has been published.
func printTotals(w io.Writer, asJSON bool, totals client.Totals, took time.Duration) error {
	if asJSON {
		return printJSON(w, totals)
	}
	rate := float64(totals.Events) / max(took.Seconds(), 1e-9)
	repeated := ""
	if totals.Duplicates > 0 { // earlier repetitions are recognised only by readers of the log
		repeated = fmt.Sprintf(", %d of them repeated", totals.Duplicates)
	}
	_, err := fmt.Fprintf(w, "%s in the log (%s, %.0f events/s%s)\n",
		quantity(totals.Events, "event is", "events are"),
		quantity(totals.Requests, "request", "requests"), rate, repeated)
	if err == nil && totals.Conflicts > 0 {
		_, err = fmt.Fprintf(w, "%s the id of an event with other content, of which only the "+
			"first counts: give each event an id of its own\n",
			quantity(totals.Conflicts, "event has", "events have"))
	}
	return err
}
