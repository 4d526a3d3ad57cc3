package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/projections"
)

// park adds to a commit what it changes about parked events. They are few, so they go one by one.
func (s *ProjectionStore) park(p *pipeline, partition int32, c *projections.Parking) {
	for i := range c.Subjects {
		u := &c.Subjects[i]
		p.execParams(`
			INSERT INTO parked_subjects (set_name, partition, school, subject, first_offset,
				reason, attempts, parked_at, retry_at, retry_requested, fold_version)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (set_name, partition, school, subject) DO UPDATE SET
				first_offset = excluded.first_offset, reason = excluded.reason,
				attempts = excluded.attempts, retry_at = excluded.retry_at,
				retry_requested = excluded.retry_requested, fold_version = excluded.fold_version`,
			s.name, partition, u.School, u.Subject, u.FirstOffset, u.Reason, int64(u.Attempts),
			u.ParkedAt, u.RetryAt, u.RetryRequested, u.FoldVersion)
	}
	for i := range c.Events {
		e := &c.Events[i]
		p.execParams(`
			INSERT INTO parked_events (set_name, partition, log_offset, school, subject, type,
				record_time, record_key, headers, value)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			s.name, partition, e.Record.Position.Offset, e.School, e.Subject, e.Type, e.Record.Time,
			nonNil(e.Record.Key), encodeHeaders(e.Record.Headers), nonNil(e.Record.Value))
	}
	for _, m := range c.Moved {
		p.execParams(`UPDATE parked_events SET subject = $4
			WHERE set_name = $1 AND partition = $2 AND log_offset = $3`,
			s.name, partition, m.Offset, m.Subject)
	}
	for _, offset := range c.Folded {
		p.execParams(`DELETE FROM parked_events WHERE set_name = $1 AND partition = $2
			AND log_offset = $3`,
			s.name, partition, offset)
	}
	for _, key := range c.Released {
		p.execParams(`DELETE FROM parked_subjects WHERE set_name = $1 AND partition = $2
			AND school = $3 AND subject = $4`,
			s.name, partition, key.School, key.Subject)
	}
}

// execParams adds a statement with single values: text, numbers, times and booleans as text, or
// bytes in binary format.
func (p *pipeline) execParams(sql string, args ...any) {
	params, formats := make([][]byte, len(args)), make([]int16, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			params[i] = []byte(v)
		case int32:
			params[i] = strconv.AppendInt(nil, int64(v), 10)
		case int64:
			params[i] = strconv.AppendInt(nil, v, 10)
		case bool:
			params[i] = strconv.AppendBool(nil, v)
		case time.Time:
			params[i] = v.UTC().AppendFormat(nil, "2006-01-02 15:04:05.999999Z07:00")
		case []byte:
			params[i], formats[i] = v, 1
		default:
			panic(fmt.Sprintf("parameter of type %T", v))
		}
	}
	p.batch.ExecParams(sql, params, nil, formats, binaryFormat)
}

const byteaOID = 17

// encodeHeaders makes an array of bytea from names and values in turn.
func encodeHeaders(headers []eventlog.Header) []byte {
	b, _ := appendArrayHeader(nil, byteaOID, 2*len(headers))
	for _, h := range headers {
		b = binary.BigEndian.AppendUint32(b, uint32(len(h.Key)))
		b = append(b, h.Key...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(h.Value)))
		b = append(b, h.Value...)
	}
	return b
}

func decodeHeaders(array [][]byte) []eventlog.Header {
	var headers []eventlog.Header
	for i := 0; i+1 < len(array); i += 2 {
		headers = append(headers, eventlog.Header{Key: string(array[i]), Value: array[i+1]})
	}
	return headers
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Parked implements [projections.Store].
func (s *ProjectionStore) Parked(
	ctx context.Context, partition int32,
) ([]projections.ParkedSubject, error) {
	return collect(ctx, s, func(row pgx.CollectableRow) (u projections.ParkedSubject, err error) {
		err = row.Scan(&u.School, &u.Subject, &u.FirstOffset, &u.Reason, &u.Attempts,
			&u.ParkedAt, &u.RetryAt, &u.RetryRequested, &u.FoldVersion)
		u.ParkedAt, u.RetryAt = u.ParkedAt.UTC(), u.RetryAt.UTC()
		return u, err
	}, `SELECT school, subject, first_offset, reason, attempts, parked_at, retry_at,
			retry_requested, fold_version
		FROM parked_subjects WHERE set_name = $1 AND partition = $2 ORDER BY first_offset`,
		s.name, partition)
}

// ParkedEvents implements [projections.Store].
func (s *ProjectionStore) ParkedEvents(
	ctx context.Context, partition int32, key projections.SubjectKey, limit int,
) ([]eventlog.Record, error) {
	return collect(ctx, s, func(row pgx.CollectableRow) (rec eventlog.Record, err error) {
		var headers [][]byte
		err = row.Scan(&rec.Position.Offset, &rec.Time, &rec.Key, &headers, &rec.Value)
		rec.Position.Partition = partition
		rec.Time, rec.Headers = rec.Time.UTC(), decodeHeaders(headers)
		return rec, err
	}, `SELECT log_offset, record_time, record_key, headers, value FROM parked_events
		WHERE set_name = $1 AND partition = $2 AND school = $3 AND subject = $4
		ORDER BY log_offset LIMIT $5`,
		s.name, partition, key.School, key.Subject, limit)
}

// collect runs a query on a connection of the store, and returns its rows.
func collect[T any](
	ctx context.Context, s *ProjectionStore, scan pgx.RowToFunc[T], sql string, args ...any,
) ([]T, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	rows, _ := conn.Query(ctx, sql, args...) // CollectRows returns the error
	return pgx.CollectRows(rows, scan)
}
