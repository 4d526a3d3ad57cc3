package projtest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
)

// database answers the questions of a scenario. Each is asked in a transaction that first writes all tables and is
// rolled back afterwards.
type database struct {
	conn *pgx.Conn
}

func (s *scenario) ask(d *datadriven.TestData) string {
	if s.database == nil {
		conn, err := pgx.Connect(context.Background(), devtest.Postgres(s.t))
		require.NoError(s.t, err)
		s.t.Cleanup(func() { require.NoError(s.t, conn.Close(context.Background())) })
		s.database = &database{conn}
	}
	asked := query.Asked{School: "oak", Today: domain.NewDate(2026, 11, 20)}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "today":
			require.NoError(s.t, asked.Today.UnmarshalText([]byte(a.Vals[0])))
		case "school":
			asked.School = a.Vals[0]
		case "own":
			asked.Own = true
		}
	}
	tx, err := s.database.conn.Begin(context.Background())
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, tx.Rollback(context.Background())) }()
	s.tables.each(func(schema *projections.Schema, row *tableRow) {
		if !row.deleted {
			insert(s.t, tx, schema, row.values)
		}
	})
	As(s.t, tx, asked.School)
	return get(tx, asked, s.endpoints, strings.TrimSpace(d.Input))
}

// As gives a transaction the rights of the API for one school, and its search path.
func As(t testing.TB, tx pgx.Tx, school string) {
	for _, sql := range []string{"SET LOCAL search_path = schoolbell, public", "SET LOCAL ROLE schoolbell_api"} {
		_, err := tx.Exec(context.Background(), sql)
		require.NoError(t, err)
	}
	_, err := tx.Exec(context.Background(), "SELECT set_config('schoolbell.school', $1, true)", school)
	require.NoError(t, err)
}

func insert(t testing.TB, tx pgx.Tx, s *projections.Schema, values []any) {
	var columns, places []string
	args := make([]any, len(values))
	for i, v := range values {
		columns = append(columns, s.Columns[i].Name)
		places = append(places, fmt.Sprintf("$%d", i+1))
		switch v := v.(type) {
		case domain.Date:
			args[i] = pgtype.Date{Time: v.Time(), Valid: !v.IsZero()}
		case jsontext.Value:
			args[i] = string(v)
		default:
			args[i] = v
		}
	}
	_, err := tx.Exec(context.Background(), fmt.Sprintf("INSERT INTO schoolbell.%s (%s) VALUES (%s)", s.Name,
		strings.Join(columns, ", "), strings.Join(places, ", ")), args...)
	require.NoError(t, err, s.Name)
}

// get sends one request to the endpoints, which are mounted as the API mounts them.
func get(tx pgx.Tx, asked query.Asked, endpoints []query.Endpoint, target string) string {
	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("scenario", "1"))
	for _, e := range endpoints {
		op := huma.Operation{OperationID: e.Info().Name, Method: http.MethodGet, Path: e.Info().Path}
		e.Mount(api, op, func(ctx context.Context, q query.Question) (*huma.StreamResponse, error) {
			answer, err := q.Run(ctx, tx, asked)
			if err != nil {
				return nil, err
			}
			text, err := json.Marshal(answer, json.Deterministic(true), jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true))
			if err != nil {
				return nil, err
			}
			return &huma.StreamResponse{Body: func(ctx huma.Context) {
				_, _ = ctx.BodyWriter().Write(layOut(text)) // a recorder takes everything
			}}, nil
		})
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w.Body.String()
}

// layOut writes each member of an answer on a line of its own, and each entry of its lists.
func layOut(text jsontext.Value) []byte {
	var out bytes.Buffer
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for depth := 0; ; {
		kind := d.PeekKind()
		if kind == 0 {
			return out.Bytes()
		}
		if depth == 2 && kind != ']' || depth == 1 && kind != '}' && kind != '[' {
			v, _ := d.ReadValue() // the text has just been written by json.Marshal
			isName := depth == 1 && kind == '"' && out.Bytes()[out.Len()-1] == '\n'
			if isName || depth == 2 {
				out.WriteString(strings.Repeat("  ", depth))
			}
			out.Write(v)
			if isName {
				out.WriteString(": ")
			} else {
				out.WriteByte('\n')
			}
			continue
		}
		token, _ := d.ReadToken()
		switch kind {
		case '{', '[':
			depth++
			out.WriteString(token.String())
			if d.PeekKind() != kind+2 { // not empty
				out.WriteByte('\n')
			}
		default:
			depth--
			if last := out.Bytes()[out.Len()-1]; last == '\n' {
				out.WriteString(strings.Repeat("  ", depth))
			}
			out.WriteString(token.String() + "\n")
		}
	}
}
