package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
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

// cli is every command. Each is a struct with a Run method, in the file of its subject.
type cli struct {
	Serve    serveCommand    `cmd:"" help:"Start Schoolbell: accept events, maintain tables, serve queries."`
	Env      envCommand      `cmd:"" help:"Print the address and a token of the running serve, for eval."`
	Token    tokenCommand    `cmd:"" help:"Print a signed token for development."`
	Revoke   revokeCommand   `cmd:"" help:"Revoke the tokens of a user."`
	Publish  publishCommand  `cmd:"" help:"Publish events from a file or standard input."`
	Import   importCommand   `cmd:"" help:"Import the exports of other systems."`
	Simulate simulateCommand `cmd:"" help:"Publish the events of simulated schools."`
	Tail     tailCommand     `cmd:"" help:"Print a school's log, and follow it."`
	Export   exportCommand   `cmd:"" help:"Write what a school's queries return as CSV files."`
	Explain  explainCommand  `cmd:"" help:"Say which events a number is made of."`
	Actors   actorsCommand   `cmd:"" help:"Say who wrote events."`
	Audit    auditCommand    `cmd:"" help:"Say who read what."`
	Status   statusCommand   `cmd:"" help:"Print the health of a running serve."`
	Catalog  catalogCommand  `cmd:"" help:"Print the catalogue of events."`

	Jobs        jobsCommand        `cmd:"" help:"Inspect and change deliveries."`
	Deadletters deadLettersCommand `cmd:"" help:"Inspect and retry events that could not be planned."`
	Parked      parkedCommand      `cmd:"" help:"Inspect and retry subjects whose events could not be folded."`

	Doctor  doctorCommand  `cmd:"" help:"Say what is wrong with log, database and settings, and what to do."`
	Log     logCommand     `cmd:"" help:"Inspect and accept a log that is not the one that was read."`
	Migrate migrateCommand `cmd:"" help:"Migrate a database to this version's schema."`
	Rebuild rebuildCommand `cmd:"" help:"Rebuild tables from the log next to the live ones, then swap them."`
	Verify  verifyCommand  `cmd:"" help:"Compare the tables with the log."`
	Cache   cacheCommand   `cmd:"" help:"Invalidate cached responses."`
	Bench   benchCommand   `cmd:"" help:"Measure throughput and latency, each next to its ceiling."`

	Config     configCommand             `cmd:"" help:"Print the settings that serve would use, and their sources."`
	Version    versionCommand            `cmd:"" help:"Print the version of this build."`
	Licenses   licensesCommand           `cmd:"" help:"Print the licences of everything in this binary."`
	Completion kongcompletion.Completion `cmd:"" help:"Print how to enable completion in your shell."`
}

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError says that the command line is wrong; it ends the program with exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

const description = `Schoolbell stores what happens at schools as events in a log, and serves queries, messages and live
updates that are always up to date with it.

Start it with a demonstration school:

  schoolbell serve --demo

Every setting of serve is also a SCHOOLBELL_* variable; "schoolbell config" prints them all.`

// run runs a command and returns the exit code. The first interrupt or SIGTERM ends the command
// gracefully, the second one at once.
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

// exitCode ends the program without a message: everything has been printed already.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func dispatch(ctx context.Context, args []string, io streams) (err error) {
	parser, err := newParser(io)
	if err != nil {
		return err
	}
	defer func() { // kong exits from inside; returning instead lets tests run whole commands
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
	if err := renamed(args); err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return usageError{withHint(args, withVariables(parser, args, err))}
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(io)
	return parsed.Run()
}

// helpVars are the variables of help texts.
var helpVars = kong.Vars{"roles": config.RoleNames()}

func newParser(io streams) (*kong.Kong, error) { return newParserFor(&cli{}, io) }

func newParserFor(commands any, io streams) (*kong.Kong, error) {
	return kong.New(commands,
		kong.Name("schoolbell"),
		kong.Description(description),
		kong.Writers(io.out, io.err),
		kong.Exit(func(code int) { panic(exitCode(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Resolvers(kong.ResolverFunc(config.SecretFromFile)),
		helpVars,
	)
}

// withVariables reports every variable that cannot be parsed in place of the first, which is all
// that kong reports.
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

// renamed reports the new name of a command that had another one before v0.1.0. It goes with
// v0.2.0.
func renamed(args []string) error {
	for old, now := range map[string]string{
		"jobs aside": "deadletters", "jobs mend": "jobs repair",
	} {
		if name := strings.Fields(old); len(args) > 1 && args[0] == name[0] && args[1] == name[1] {
			return usageError{fmt.Errorf("%q is now %q", "schoolbell "+old, "schoolbell "+now)}
		}
	}
	return nil
}
