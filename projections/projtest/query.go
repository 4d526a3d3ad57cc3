package projtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/exact"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
)

// database runs the queries of a scenario. Each runs in a transaction that first writes all tables
// and is rolled back afterwards.
type database struct {
	conn *pgx.Conn
}

func (s *scenario) query(d *datadriven.TestData) string {
	if s.database == nil {
		conn, err := pgx.Connect(context.Background(), devtest.Postgres(s.t))
		require.NoError(s.t, err)
		s.t.Cleanup(func() { require.NoError(s.t, conn.Close(context.Background())) })
		s.database = &database{conn}
	}
	scope := query.Scope{School: "oak", Today: domain.NewDate(2026, 11, 20), Access: access.Everything()}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "today":
			require.NoError(s.t, scope.Today.UnmarshalText([]byte(a.Vals[0])))
		case "zone":
			var err error
			scope.Settings.Zone, err = time.LoadLocation(a.Vals[0])
			require.NoError(s.t, err)
		case "school":
			scope.School = a.Vals[0]
		case "as":
			scope.Access = access.For(&access.Bearer{Subject: "self", School: "oak", Roles: a.Vals},
				nil, access.Policy{TeachersSeeAll: true})
		case "pupils", "children":
			of := access.Directory{Pupils: a.Vals, Children: a.Vals}
			role := map[string]string{"pupils": "teacher", "children": "guardian"}[a.Key]
			bearer := access.Bearer{Subject: "self", School: "oak", Roles: []string{role}}
			scope.Access = access.For(&bearer, &of, access.Policy{})
		case "self":
			scope.Self = a.Vals[0]
		default:
			require.NoError(s.t, decide(&scope.Settings, a.Key, a.Vals))
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
	As(s.t, tx, scope.School)
	return Get(tx, scope, s.endpoints, strings.TrimSpace(d.Input))
}

// decide makes a decision of the school, as its settings would.
func decide(s *query.Settings, name string, values []string) (err error) {
	switch name {
	case "year_from":
		s.YearFrom, err = strconv.Atoi(values[0])
	case "week":
		s.Week, err = calendar.ParseWeek(values)
	case "mode":
		s.Attendance.Mode = values[0]
	case "chronic":
		s.Attendance.Chronic, err = strconv.ParseInt(values[0], 10, 64)
	case "min_days":
		s.Attendance.MinDays, err = strconv.ParseInt(values[0], 10, 64)
	case "day": // day=(P1:1/6, P2:1/6)
		s.Attendance.Day = map[string]exact.Fraction{}
		for _, v := range values {
			session, part, _ := strings.Cut(v, ":")
			if s.Attendance.Day[session], err = exact.ParseFraction(part); err != nil {
				return err
			}
		}
	case "marks": // as JSON, which is one word
		err = json.Unmarshal([]byte(values[0]), &s.Marks)
	default:
		err = fmt.Errorf("a query has no argument %s", name)
	}
	return err
}

// As gives a transaction the rights of the API for one school, and its search path.
func As(t testing.TB, tx pgx.Tx, school string) {
	for _, sql := range []string{
		"SET LOCAL search_path = schoolbell, public",
		"SET LOCAL ROLE schoolbell_api",
	} {
		_, err := tx.Exec(context.Background(), sql)
		require.NoError(t, err)
	}
	_, err := tx.Exec(context.Background(), "SELECT set_config('schoolbell.school', $1, true)",
		school)
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
	_, err := tx.Exec(context.Background(),
		fmt.Sprintf("INSERT INTO schoolbell.%s (%s) VALUES (%s)", s.Name,
			strings.Join(columns, ", "), strings.Join(places, ", ")), args...)
	require.NoError(t, err, s.Name)
}

// Get sends one request to the endpoints, and lays out the result for a reader.
func Get(tx pgx.Tx, scope query.Scope, endpoints []query.Endpoint, target string) string {
	status, body := Fetch(tx, scope, endpoints, target)
	if status != http.StatusOK {
		var problem huma.ErrorModel
		if err := json.Unmarshal(body, &problem); err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d %s\n", status, problem.Detail)
	}
	return string(layOut(body))
}

// Fetch sends one request to the endpoints, which are mounted as the API mounts them.
func Fetch(
	tx pgx.Tx, scope query.Scope, endpoints []query.Endpoint, target string,
) (status int, body []byte) {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("scenario", "1")
	config.CreateHooks = nil // no link to a schema in problems
	config.Components.Schemas = huma.NewMapRegistry("#/", func(t reflect.Type, _ string) string {
		return strings.ReplaceAll(t.String(), ".", "") // unique with the package
	})
	api := humago.New(mux, config)
	for _, e := range endpoints {
		op := huma.Operation{
			OperationID: e.Info().Name, Method: http.MethodGet,
			Path: e.Info().Path,
		}
		e.Mount(api, op, func(ctx context.Context, q query.Request) (*huma.StreamResponse, error) {
			result, err := q.Run(ctx, tx, scope)
			switch {
			case errors.Is(err, query.ErrNotFound):
				return nil, huma.Error404NotFound(err.Error())
			case errors.Is(err, query.ErrDenied):
				return nil, huma.Error403Forbidden(err.Error())
			case errors.Is(err, query.ErrInput):
				return nil, huma.Error422UnprocessableEntity(err.Error())
			case err != nil:
				return nil, err
			}
			text, err := json.Marshal(result, json.Deterministic(true),
				jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true))
			if err != nil {
				return nil, err
			}
			return &huma.StreamResponse{Body: func(ctx huma.Context) {
				_, _ = ctx.BodyWriter().Write(text) // a recorder takes everything
			}}, nil
		})
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w,
		httptest.NewRequestWithContext(context.Background(), http.MethodGet, target, nil))
	return w.Code, w.Body.Bytes()
}

// layOut writes each member of a result on a line of its own, and each object of its lists.
func layOut(text jsontext.Value) []byte {
	var out bytes.Buffer
	d := jsontext.NewDecoder(bytes.NewReader(text))
	// the text has just been written by json.Marshal, so nothing is wrong with it
	_, _ = d.ReadToken()
	for d.PeekKind() == '"' {
		name, _ := d.ReadValue()
		fmt.Fprintf(&out, "%s: ", name)
		value, _ := d.ReadValue()
		var objects []jsontext.Value
		if bytes.HasPrefix(value, []byte("[{")) && json.Unmarshal(value, &objects) == nil {
			out.WriteString("[")
			for _, o := range objects {
				fmt.Fprintf(&out, "\n  %s", o)
			}
			out.WriteString("\n]\n")
			continue
		}
		fmt.Fprintf(&out, "%s\n", value)
	}
	return out.Bytes()
}
