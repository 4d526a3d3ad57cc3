package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

// examine looks at one thing after the other. What depends on something that is missing is left out.
func (c *doctorCommand) examine(ctx context.Context, d *diagnosis) error {
	url, err := c.url()
	if err != nil {
		return err
	}
	database := examineDatabase(ctx, d, url)
	log, err := c.openLog(ctx)
	if err != nil {
		d.add(severe, "log", "start Kafka, or correct --kafka-brokers and --kafka-topic. A log that is "+
			"gone is restored as docs/RECOVERY.md says", "the log cannot be read: %v", err)
	} else {
		defer log.Close()
		if err := log.TopicProblems(); err != nil {
			d.add(warning, "log", "correct the topic's settings", "%v", err)
		}
	}
	if database {
		if err := examineTables(ctx, d, url, log); err != nil {
			return err
		}
	}
	c.examineSecrets(d)
	return nil
}

func (c *doctorCommand) openLog(ctx context.Context) (*kafka.Log, error) {
	servers, err := kafkaOf(c.Kafka, c.Data)
	if err != nil {
		return nil, err
	}
	cfg, err := servers.Config()
	if err != nil {
		return nil, usageError{err}
	}
	cfg.Partitions = 0 // the topic must exist
	return kafka.Open(ctx, cfg, slog.New(slog.DiscardHandler), nil)
}

// examineDatabase reports whether the tables can be looked at.
func examineDatabase(ctx context.Context, d *diagnosis, url string) (ok bool) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		d.add(severe, "database", "start PostgreSQL, or correct --database-url",
			"it cannot be reached: %v", err)
		return false
	}
	defer conn.Close(context.WithoutCancel(ctx))
	before := time.Now()
	var standby, readOnly bool
	var commit string
	var now time.Time
	if err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(),
		current_setting('default_transaction_read_only')::boolean,
		current_setting('synchronous_commit'), clock_timestamp()`).
		Scan(&standby, &readOnly, &commit, &now); err != nil {
		d.add(severe, "database", "see the server's log", "it does not respond: %v", err)
		return false
	}
	switch {
	case standby:
		d.add(severe, "database", "name all servers in the URL, with target_session_attrs=read-write",
			"the server is a standby, which cannot be written to")
	case readOnly:
		d.add(severe, "database", "make it writable: default_transaction_read_only = off",
			"the server accepts no writes")
	}
	if commit == "off" || commit == "local" && !standby {
		d.add(warning, "database", "set synchronous_commit to on",
			"synchronous_commit is %s: what was committed may be lost without a trace", commit)
	}
	if skew := now.Sub(before).Abs(); skew > maxSkew {
		d.add(warning, "clocks", "run a time service on both machines",
			"the database's clock and this machine's are %s apart", skew.Round(time.Millisecond))
	}
	return examineSchema(ctx, d, url)
}

// maxSkew is how far two clocks may be apart. A slow connection counts as well.
const maxSkew = 2 * time.Second

func examineSchema(ctx context.Context, d *diagnosis, url string) (ok bool) {
	set, err := projections.NewSet(catalog.All()...)
	if err == nil {
		var faults []string
		faults, err = postgres.CheckSchema(ctx, url, set.Tables())
		for _, f := range faults {
			d.add(severe, "schema", "schoolbell migrate", "%s", f)
		}
		ok = len(faults) == 0
	}
	if err != nil {
		d.add(severe, "schema", "see the server's log", "it cannot be read: %v", err)
		return false
	}
	return ok
}

// examineTables compares the tables with the log, which may be nil.
func examineTables(ctx context.Context, d *diagnosis, url string, log *kafka.Log) error {
	pool, err := postgres.NewPool(ctx, postgres.Config{URL: url, Role: postgres.Jobs, MaxConns: 1})
	if err != nil {
		return err
	}
	defer pool.Close()
	refused, err := checkpoint.Refusals(ctx, pool.Conns(), "")
	if err != nil {
		return err
	}
	for _, r := range refused {
		d.add(severe, "log", "restore the log as it was, then schoolbell log accept; see schoolbell "+
			"log status", "partition %d is refused: %s, expected %s, found %s", r.Partition, r.Reason,
			r.Expected, r.Found)
	}
	if log != nil && len(refused) == 0 {
		if err := examinePositions(ctx, d, pool, log); err != nil {
			return err
		}
	}
	l, err := ledger.ReadCondition(ctx, pool.Conns())
	if err != nil {
		return err
	}
	for _, f := range []struct {
		n        int64
		severity severity
		what, do string
	}{
		{
			l.Closed, warning, "partitions are not compared with the log yet, so nothing of them is sent",
			"start a serve with the role consumers; if one runs, look at its log",
		},
		{
			l.Past, note, "messages of a ledger that was lost have not been planned again",
			"wait until the rules have read the log (schoolbell_router_lag_events)",
		},
		{
			l.Unknown, note, "messages may or may not have been sent",
			"schoolbell jobs list --state unknown",
		},
		{
			l.Dead, note, "messages wait for an operator after all attempts",
			"schoolbell jobs list --state dead",
		},
	} {
		if f.n > 0 {
			d.add(f.severity, "messages", f.do, "%d %s", f.n, f.what)
		}
	}
	return nil
}

// examinePositions compares the log with what was read of it.
func examinePositions(
	ctx context.Context, d *diagnosis, pool *postgres.Pool, log *kafka.Log,
) error {
	topic, err := log.Topic(ctx)
	if err != nil {
		return err
	}
	const restore = "stop whatever writes to the log and restore it as it was: docs/RECOVERY.md"
	for _, consumer := range []string{program.SetName, program.ConsumersGroup} {
		all, err := checkpoint.Read(ctx, pool.Conns(), consumer)
		if err != nil {
			return err
		}
		for i := range all {
			at := &all[i]
			switch {
			case at.TopicID != topic.ID:
				d.add(severe, "log", "correct the settings, or restore the log", "%s has read partition %d "+
					"of the topic with id %s, and the topic's is %s", consumer, at.Partition, at.TopicID,
					topic.ID)
				continue
			case at.Partition >= topic.Partitions:
				d.add(severe, "log", restore, "%s has read partition %d, and the topic has %d",
					consumer, at.Partition, topic.Partitions)
				continue
			}
			err := eventlog.Compare(ctx, log, topic, at.Partition, at.Next, at.Last)
			if r, ok := errors.AsType[*eventlog.Refusal](err); ok {
				d.add(severe, "log", restore, "partition %d is not what %s has read: %s, expected %s, "+
					"found %s", at.Partition, consumer, r.Reason, r.Expected, r.Found)
			} else if err != nil {
				return fmt.Errorf("compare partition %d with the log: %w", at.Partition, err)
			}
		}
	}
	return nil
}

// examineSecrets looks for keys that only this machine has, although the servers are shared.
func (c *doctorCommand) examineSecrets(d *diagnosis) {
	if c.DatabaseURL == "" {
		return // the servers are those of one process
	}
	for _, s := range []struct{ file, variable, given, what string }{
		{config.SecretFile, "SCHOOLBELL_JWT_SECRET", c.JWTSecret, "tokens"},
		{config.LinkKeyFile, "SCHOOLBELL_DOCUMENTS_LINK_KEY", c.LinkKey, "links to documents"},
	} {
		if _, err := os.Stat(filepath.Join(c.Data, s.file)); err == nil && s.given == "" {
			d.add(warning, "secrets", "set "+s.variable+" to the same value for all processes",
				"the key in %s is only here: %s that this process signs are refused by others",
				filepath.Join(c.Data, s.file), s.what)
		}
	}
}
