package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/realtime"
)

// shadowTarget says where the servers are that shadow tables are made from and in.
type shadowTarget struct {
	tablesTarget `embed:""`

	Kafka     config.Kafka `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (default: that of the serve on the data directory)"`
	Redis     config.Redis `embed:"" prefix:"redis-" envprefix:"SCHOOLBELL_REDIS_" group:"Redis (default: that of the serve on the data directory)"`
	MaxParked int          `name:"projections-max-parked" env:"SCHOOLBELL_PROJECTIONS_MAX_PARKED" placeholder:"N" help:"Parked subjects of one school (default: that of the serve on the data directory)."`
	JSON      bool         `name:"json" help:"Print JSON."`
}

// shadowFlags say what to fold into shadow tables.
type shadowFlags struct {
	shadowTarget `embed:""`

	Projections []string `arg:"" optional:"" name:"projection" help:"Read models (default: all)."`
	School      string   `placeholder:"S" help:"Only the rows of one school."`
}

// with calls do with the shadow tables of the flags.
func (c *shadowFlags) with(ctx context.Context, io streams, do func(*postgres.Shadow) error) error {
	return c.shadowTarget.with(ctx, io, func(b *postgres.Shadow) error {
		if _, _, err := b.Engine.Set.Closure(c.Projections...); err != nil {
			return usageError{err}
		}
		b.Projections, b.School = c.Projections, c.School
		return do(b)
	})
}

// with calls do with shadow tables that it has opened the log and the cache for.
func (c *shadowTarget) with(ctx context.Context, io streams, do func(*postgres.Shadow) error) error {
	set, err := projections.NewSet(catalog.All()...)
	if err != nil {
		return err
	}
	database, err := c.url()
	if err != nil {
		return err
	}
	servers, err := kafkaOf(c.Kafka, c.Data)
	if err != nil {
		return err
	}
	log, err := openLog(ctx, servers, database)
	if err != nil {
		return err
	}
	defer log.Close()
	shadow := &postgres.Shadow{
		URL: database, Engine: program.FoldConfig(set, log, slog.New(slog.NewTextHandler(io.err, &slog.HandlerOptions{Level: slog.LevelError}))),
	}
	if shadow.Engine.MaxParked, err = c.maxParked(); err != nil {
		return err
	}
	cache, err := c.cache(ctx, log)
	if err != nil {
		return err
	}
	if cache != nil {
		defer cache.Close()
		dashboards := realtime.NewNotifier(
			redis.NewBus(cache), nil, 0, slog.New(slog.DiscardHandler),
		)
		shadow.Notifiers = []projections.Notifier{
			redis.NewNotifier(cache, set),
			program.NewDashboardNotifier(dashboards, set),
		}
	}
	bar := newRebuildBar(io.err)
	defer bar.done()
	shadow.Progress = bar.show
	return do(shadow)
}

// maxParked is the limit that the live tables are made with: shadow tables need the same.
func (c *shadowTarget) maxParked() (int, error) {
	if c.MaxParked > 0 || c.DatabaseURL != "" {
		return c.MaxParked, nil
	}
	serve, err := program.ReadAddress(c.Data)
	return serve.MaxParked, err
}

// cache opens the cache of the tables. Without a Redis, which is when log and database are given and
// it is not, there is none.
func (c *shadowTarget) cache(ctx context.Context, log *kafka.Log) (*redis.Cache, error) {
	if c.Redis.URL == "" && c.DatabaseURL != "" && len(c.Kafka.Brokers) > 0 {
		return nil, nil
	}
	servers, _, err := redisOf(c.Redis, c.Data)
	if err != nil {
		return nil, err
	}
	topic, err := log.Topic(ctx)
	if err != nil {
		return nil, err
	}
	cache, err := redis.Open(servers.Config(servers.URL, topic.ID), nil)
	if err != nil {
		return nil, usageError{err}
	}
	return cache, nil
}

// rebuildBar shows the progress of folding.
type rebuildBar struct {
	bar   *progressbar.ProgressBar
	stage string
}

func newRebuildBar(w io.Writer) *rebuildBar {
	return &rebuildBar{bar: progress(w, 1, "start", false)}
}

func (b *rebuildBar) show(stage string, folded, total int64) {
	if stage != b.stage {
		b.stage = stage
		b.bar.Describe(stage)
	}
	b.bar.ChangeMax64(max(total, 1))
	_ = b.bar.Set64(folded)
}

func (b *rebuildBar) done() { _ = b.bar.Clear() }

type rebuildCommand struct {
	shadowFlags `embed:""`

	Until time.Time `placeholder:"TIME" help:"Fold only what was appended until then (RFC 3339), into a separate schema that remains."`
}

func (*rebuildCommand) Help() string {
	return `Folds the log into shadow tables, catches up, and swaps them with the live ones in one transaction. Reads
continue throughout, nothing is sent again, and you may interrupt it at any moment. Read models that
depend on the given ones are rebuilt with them. While events are parked, all read models are rebuilt,
since an event is either in all tables or parked; events that can be folded now are no longer parked.

Examples:

  schoolbell rebuild
  schoolbell rebuild attendance
  schoolbell rebuild fees --school school-001
  schoolbell rebuild --until 2026-10-01T00:00:00Z`
}

func (c *rebuildCommand) Run(ctx context.Context, io streams) error {
	var done *postgres.RebuildResult
	err := c.with(ctx, io, func(b *postgres.Shadow) (err error) {
		b.Until = c.Until
		if len(b.Notifiers) == 0 && c.Until.IsZero() {
			fmt.Fprintln(
				io.err,
				"schoolbell: no Redis is given, so outdated responses may be served until they expire",
			)
		}
		done, err = b.Rebuild(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if done.NotifyError != nil {
		fmt.Fprintf(io.err, "schoolbell: outdated responses may be served until they expire: "+
			"cannot notify the cache: %v\n", done.NotifyError)
	}
	rate := float64(done.Events) / max(done.Took.Seconds(), 1e-9)
	if c.JSON {
		return printJSON(io.out, struct {
			*postgres.RebuildResult
			Took  float64 `json:"took_seconds"`
			Rate  float64 `json:"events_per_second"`
			Pause float64 `json:"pause_ms"`
		}{done, done.Took.Seconds(), rate, float64(done.Pause.Microseconds()) / 1000})
	}
	fmt.Fprintf(io.out, "Rebuilt %s from %d events in %v (%.0f events/s).\n",
		strings.Join(done.Projections, ", "), done.Events, done.Took.Round(time.Millisecond), rate)
	if done.Schema == "" {
		fmt.Fprintf(io.out, "Writes to the live tables were blocked for %v.\n",
			done.Pause.Round(100*time.Microsecond))
	} else {
		fmt.Fprintf(io.out, `They are in the schema %[1]s. To query them, and to drop them when no longer needed:

  psql -c 'SET ROLE schoolbell_projector; SET search_path = %[1]s; SELECT count(*) FROM students'
  psql -c 'DROP SCHEMA %[1]s CASCADE'
`, done.Schema)
	}
	if done.Parked > 0 {
		fmt.Fprintf(io.out, "%d subjects remain parked: this version cannot fold their events.\n",
			done.Parked)
	}
	return nil
}

type verifyCommand struct {
	shadowFlags `embed:""`

	Numbers bool   `help:"Compare the responses of one school with a second calculation from its log."`
	URL     string `name:"url" env:"SCHOOLBELL_URL" placeholder:"URL" help:"Address of Schoolbell, for --numbers (default: the serve on the data directory)."`
	Token   string `env:"SCHOOLBELL_TOKEN" placeholder:"TOKEN" secret:"" help:"Token, for --numbers (default: an operator's, signed with the secret in the data directory)."`
}

func (*verifyCommand) Help() string {
	return `Folds the log into shadow tables, exactly up to the position of the live ones, and compares row by row.
Exits with 1 when they differ.

With --numbers it reads the events of a school over HTTP, calculates what responses must be a second time, by a
package that shares nothing with the folds, and compares every value. So far it calculates the fees.

Examples:

  schoolbell verify
  schoolbell verify attendance --school school-001 --json
  schoolbell verify --numbers --school school-001`
}

func (c *verifyCommand) Run(ctx context.Context, io streams) error {
	if c.Numbers {
		return c.runNumbers(ctx, io)
	}
	var found *postgres.VerifyResult
	err := c.with(ctx, io, func(b *postgres.Shadow) (err error) {
		found, err = b.Verify(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if err := c.print(io.out, found); err != nil {
		return err
	}
	if found.Differ > 0 {
		return exitCode(exitFailed)
	}
	return nil
}

func (c *verifyCommand) runNumbers(ctx context.Context, io streams) error {
	report, err := c.numbers(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(io.out, report)
	} else {
		err = report.print(io.out)
	}
	if err == nil && report.Differences > 0 {
		err = exitCode(exitFailed)
	}
	return err
}

func (c *verifyCommand) print(w io.Writer, found *postgres.VerifyResult) error {
	if c.JSON {
		return printJSON(w, found)
	}
	for _, d := range found.Examples {
		fmt.Fprintf(w, "%s %v", d.Table, d.Key)
		if d.Only != "" {
			fmt.Fprintf(w, " is only in the %s\n",
				map[string]string{"live": "live tables", "log": "log"}[d.Only])
			continue
		}
		for _, column := range d.Columns {
			fmt.Fprintf(
				w, "\n  %s is %v, but %v by the log", column.Column, column.Live, column.Log,
			)
		}
		fmt.Fprintln(w)
	}
	if n := found.Differ - int64(len(found.Examples)); n > 0 {
		fmt.Fprintf(w, "... and %d more rows\n", n)
	}
	verdict := "all as in the log"
	if found.Differ > 0 {
		verdict = fmt.Sprintf("%d differ", found.Differ)
	}
	_, err := fmt.Fprintf(w, "%s: %d rows from %d events compared in %v: %s.\n",
		strings.Join(found.Projections, ", "), found.Rows, found.Events,
		found.Took.Round(time.Millisecond), verdict)
	return err
}
