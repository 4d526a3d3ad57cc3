package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/projections"
)

// checkVersions makes sure that the tables were made by this program's folds, or will be, as
// nothing has been folded yet.
func (s *ProjectionStore) checkVersions(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `
		INSERT INTO fold_versions (set_name, projection, version) SELECT $1, *
		FROM unnest($2::text[], $3::int[])
		WHERE NOT EXISTS (SELECT FROM fold_versions WHERE set_name = $1)
		ON CONFLICT DO
		NOTHING`, append([]any{s.name}, versionsOf(s.set.Projections(), true)...)...); err != nil {
		return fmt.Errorf("store versions: %w", err)
	}
	return versionFault(ctx, tx, s.name, s.set)
}

// versionsOf returns the names and versions of projections, and of the index of the log if wanted, as
// two columns.
func versionsOf(members []*projections.Projection, index bool) []any {
	var names []string
	var versions []int32
	for _, p := range members {
		names, versions = append(names, p.Name), append(versions, int32(p.Version))
	}
	if index {
		names = append(names, projections.LogIndex)
		versions = append(versions, projections.LogIndexVersion)
	}
	return []any{names, versions}
}

// tableVersions reads with which versions the tables of a set were made. It is empty when nothing
// has been folded.
func tableVersions(ctx context.Context, tx pgx.Tx, name string) (map[string]int, error) {
	rows, err := tx.Query(ctx, `SELECT projection, version FROM fold_versions WHERE set_name = $1`,
		name)
	if err != nil {
		return nil, fmt.Errorf("read versions: %w", err)
	}
	versions := map[string]int{}
	var projection string
	var version int
	if _, err := pgx.ForEachRow(rows, []any{&projection, &version}, func() error {
		versions[projection] = version
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read versions: %w", err)
	}
	return versions, nil
}

// versionFault returns the first [*projections.VersionError], preferring one that a rebuild cannot
// repair.
func versionFault(ctx context.Context, tx pgx.Tx, name string, set *projections.Set) error {
	tables, err := tableVersions(ctx, tx, name)
	if err != nil || len(tables) == 0 {
		return err
	}
	var stale error
	check := func(name string, version int) error {
		made := tables[name]
		delete(tables, name)
		fault := &projections.VersionError{Projection: name, Tables: made, Folds: version}
		if made > version {
			return fault
		}
		if made < version && stale == nil {
			stale = fault
		}
		return nil
	}
	for _, p := range set.Projections() {
		if err := check(p.Name, p.Version); err != nil {
			return err
		}
	}
	if err := check(projections.LogIndex, projections.LogIndexVersion); err != nil {
		return err
	}
	for unknown, version := range tables {
		return &projections.VersionError{Projection: unknown, Tables: version}
	}
	return stale
}

// Outdated returns the projections of a set whose tables were made by older versions of the folds,
// or not yet at all; all of them when the index of the log is to be made, which needs no more than
// what a rebuild reads. It fails with a [*projections.VersionError] when a newer program has made some
// of them.
func (s *ProjectionStore) Outdated(ctx context.Context) (names []string, err error) {
	err = s.pool.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		var version *projections.VersionError
		if err := versionFault(ctx, tx, s.name, s.set); err != nil &&
			(!errors.As(err, &version) || version.Folds < version.Tables) {
			return err
		}
		tables, err := tableVersions(ctx, tx, s.name)
		if err != nil || len(tables) == 0 {
			return err
		}
		for _, p := range s.set.Projections() {
			if tables[p.Name] < p.Version ||
				tables[projections.LogIndex] < projections.LogIndexVersion {
				names = append(names, p.Name)
			}
		}
		return nil
	})
	return names, err
}
