-- owner: projections/library
--
-- Who has borrowed which book.

-- +goose Up

CREATE TABLE schoolbell.library (
	school     text COLLATE "C" NOT NULL,
	student_id text COLLATE "C" NOT NULL,
	book_id    text COLLATE "C" NOT NULL,
	title      text NOT NULL,
	due_on     date,
	PRIMARY KEY (school, student_id, book_id)
);
SELECT schoolbell.protect('schoolbell.library');
