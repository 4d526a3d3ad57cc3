package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLibrary(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	at := a.publish(t, "north", enrolled("north", 1),
		event("north", "borrowed", "schoolbell.library.borrowed.v1", "s1", map[string]any{
			"student_id": "s1", "book_id": "b1", "title": "Momo", "due_on": "2026-09-21",
		}))
	var books struct {
		Books []struct {
			Title string `json:"title"`
		} `json:"books"`
	}
	a.get(t, "/v1/schools/north/students/s1/books", at, &books)
	require.Equal(t, "Momo", books.Books[0].Title)

	var timeline struct {
		Lines []struct {
			Type string `json:"type"`
		} `json:"lines"`
	}
	a.get(t, "/v1/schools/north/students/s1/timeline", at, &timeline)
	require.Equal(t, "schoolbell.library.borrowed.v1", timeline.Lines[0].Type)
}
