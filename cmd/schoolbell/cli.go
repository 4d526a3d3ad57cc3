package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	kongcompletion "github.com/jotaen/kong-completion"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// cli is every command. Each is a struct in a file of its own with a Run method.
type cli struct {
	Serve      serveCommand              `cmd:"" help:"Start Schoolbell: take events, keep tables, answer queries."`
	Token      tokenCommand              `cmd:"" help:"Print a signed token for development."`
	Revoke     revokeCommand             `cmd:"" help:"Refuse a user's tokens from now on."`
	Publish    publishCommand            `cmd:"" help:"Publish events from a file or standard input."`
	Import     importCommand             `cmd:"" help:"Publish what other systems have exported."`
	Simulate   simulateCommand           `cmd:"" help:"Publish made-up school years."`
	Tail       tailCommand               `cmd:"" help:"Print a school's log, and what comes."`
	Status     statusCommand             `cmd:"" help:"Tell how a running serve is doing."`
	Catalog    catalogCommand            `cmd:"" help:"Print the catalogue of events."`
	Jobs       jobsCommand               `cmd:"" help:"Look at deliveries and decide about them."`
	Bench      benchCommand              `cmd:"" help:"Measure it, beside what it could do at best."`
	Migrate    migrateCommand            `cmd:"" help:"Bring a database's schema up to date."`
	Config     configCommand             `cmd:"" help:"Print the settings that serve would use, and where each comes from."`
	Rebuild    rebuildCommand            `cmd:"" help:"Make tables anew from the log, beside the live ones."`
	Verify     verifyCommand             `cmd:"" help:"Prove that tables are what the log says."`
	Parked     parkedCommand             `cmd:"" help:"Look after events that could not be folded."`
	Cache      cacheCommand              `cmd:"" help:"Drop answers that are kept."`
	Version    versionCommand            `cmd:"" help:"Print which build this is."`
	Completion kongcompletion.Completion `cmd:"" help:"Print how to complete commands in your shell."`
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a fault of the one who typed the command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

const description = `Schoolbell takes what happens at schools as events, keeps it in a log, and answers questions about it.

Start it, with a school to look at:

  schoolbell serve --demo

Every setting of serve is also a SCHOOLBELL_* variable; "schoolbell config" shows them all.`

// run is the program: it returns the exit code. A first interrupt or SIGTERM ends the command in good order, a second
// one at once.
func run(args []string, io streams) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			stop()
		case <-ctx.Done():
			return
		}
		<-signals
		os.Exit(exitFailed)
	}()
	return runContext(ctx, args, io)
}

func runContext(ctx context.Context, args []string, io streams) int {
	err := dispatch(ctx, args, io)
	var exit exitCode
	var usage usageError
	var faulty program.ConfigError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage), errors.As(err, &faulty):
		fmt.Fprintf(io.err, "schoolbell: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(io.err, "schoolbell: %v\n", err)
		return exitFailed
	}
}

// exitCode ends the program without a message: kong has printed what there is to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func dispatch(ctx context.Context, args []string, io streams) (err error) {
	parser, err := newParser(io)
	if err != nil {
		return err
	}
	defer func() { // kong exits from within; that becomes a return, so that tests can run whole commands
		if p := recover(); p != nil {
			code, ok := p.(exitCode)
			if !ok {
				panic(p)
			}
			err = nil
			if code != exitDone {
				err = code
			}
		}
	}()
	kongcompletion.Register(parser)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return usageError{withHint(args, withVariables(parser, args, err))}
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(io)
	return parsed.Run()
}

// helpVars stand in the help texts of settings.
var helpVars = kong.Vars{"roles": config.RoleNames()}

func newParser(io streams) (*kong.Kong, error) { return newParserFor(&cli{}, io) }

func newParserFor(commands any, io streams) (*kong.Kong, error) {
	return kong.New(commands,
		kong.Name("schoolbell"),
		kong.Description(description),
		kong.Writers(io.out, io.err),
		kong.Exit(func(code int) { panic(exitCode(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		helpVars,
	)
}

// withVariables adds every variable that cannot be read to the first fault that kong met.
func withVariables(parser *kong.Kong, args []string, fault error) error {
	for _, command := range parser.Model.Children {
		if command.Name != args[0] {
			continue
		}
		if err := config.CheckVariables(command); err != nil {
			return err
		}
	}
	return fault
}

// quantity is a number with what it counts.
func quantity[N int | int64](n N, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// printJSON writes a value for programs to read.
func printJSON(w io.Writer, v any) error {
	return json.MarshalWrite(w, v, jsontext.WithIndent("  "), json.Deterministic(true))
}
