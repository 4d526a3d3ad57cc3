package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// Document is a rendered document, as the ledger recorded it.
type Document struct {
	DeliveryID string    `json:"delivery_id"`
	Kind       string    `json:"kind" doc:"For example receipt"`
	Recipient  string    `json:"recipient"`
	StudentID  string    `json:"student_id"`
	SHA256     string    `json:"sha256"`
	Bytes      int64     `json:"bytes"`
	At         time.Time `json:"at"`
}

// rendered selects the deliveries of a school that have become a document.
const rendered = ` FROM schoolbell.ledger
	WHERE school = $1 AND channel = 'pdf' AND state = 'rendered'`

// CountDocuments returns the number of a school's documents. The transaction must see the school's
// rows.
func CountDocuments(ctx context.Context, tx pgx.Tx, school string) (n int, err error) {
	if err := tx.QueryRow(ctx, `SELECT count(*)`+rendered, school).Scan(&n); err != nil {
		return 0, fmt.Errorf("count documents: %w", err)
	}
	return n, nil
}

// Documents returns a school's latest documents, the newest first. The transaction must see the
// school's rows.
func Documents(ctx context.Context, tx pgx.Tx, school string, limit int) ([]Document, error) {
	rows, err := tx.Query(ctx, `SELECT id, recipient, document, changed_at`+rendered+`
		AND document IS NOT NULL ORDER BY planned_at DESC, id DESC LIMIT $2`, school, limit)
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d Document, err error) {
		var encoded []byte
		var doc consumers.Document
		if err := row.Scan(&d.DeliveryID, &d.Recipient, &encoded, &d.At); err != nil {
			return d, err
		}
		err = json.Unmarshal(encoded, &doc)
		d.Kind, d.StudentID, d.SHA256, d.Bytes = doc.Kind, doc.StudentID, doc.SHA256, doc.Bytes
		d.At = d.At.UTC()
		return d, err
	})
}
