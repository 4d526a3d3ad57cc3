// Package library is who has borrowed which book.
package library

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/library"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// Projection is the read model.
var Projection = projections.New("library", 1, books, projections.On(borrowed))

var books = projections.NewTable[key, row]("library")

type key struct {
	School    string `db:"school"`
	StudentID string `db:"student_id"`
	BookID    string `db:"book_id"`
}

type row struct {
	Title string      `db:"title"`
	DueOn domain.Date `db:"due_on"`
}

func borrowed(b *projections.Batch, e *domain.Envelope, m *library.Borrowed) error {
	books.Put(b, key{e.School, m.StudentID, m.BookID}, row{m.Title, m.DueOn})
	return nil
}

// Queries are those of the library.
var Queries = []query.Endpoint{
	query.Query[input, Books]{
		Name:        "library",
		Path:        "/students/{id}/books",
		Summary:     "Books that a student has borrowed",
		Description: "The first due first.",
		Reads:       []*projections.Projection{Projection},
		TTL:         time.Minute,
		Roles:       []query.Role{query.Admin},
		Own:         func(in *input) string { return in.StudentID },
		Indexes: []query.Index{
			{Name: "library_pkey", Statement: "library.books", Request: "/students/student-0007/books"},
		},
		Run: list,
	},
}

type input struct {
	StudentID string `path:"id" maxLength:"128"`
}

// Books is the result.
type Books struct {
	Books []Book `json:"books"`
}

// Book is one of them.
type Book struct {
	BookID string      `json:"book_id"`
	Title  string      `json:"title"`
	DueOn  domain.Date `json:"due_on"`
}

const booksSQL read.SQL = `-- library.books
SELECT book_id, title, due_on FROM library WHERE school = $1 AND student_id = $2 ORDER BY due_on, book_id`

func list(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*Books, error) {
	all, err := read.All(ctx, tx, booksSQL, func(b *Book) []any {
		return []any{&b.BookID, &b.Title, &b.DueOn}
	}, scope.School, in.StudentID)
	return &Books{all}, err
}
