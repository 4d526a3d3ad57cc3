package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

type jobsSettingsCommand struct {
	Get jobsSettingsGetCommand `cmd:"" help:"Print a school's settings."`
	Set jobsSettingsSetCommand `cmd:"" help:"Replace a school's settings."`
}

func (*jobsSettingsCommand) Help() string {
	return `Rules, channels, quiet hours, language, time zone, monthly budget of texts, sender, fee reminders.

Examples:

  schoolbell jobs settings get --school school-001 > settings.json
  schoolbell jobs settings set --school school-001 settings.json`
}

// settingsTarget is the school whose settings a command is about.
type settingsTarget struct {
	jobsTarget `embed:""`
	School     schoolID `required:"" placeholder:"ID" help:"The school."`
}

func (c *settingsTarget) path() string {
	return "/v1/schools/" + url.PathEscape(string(c.School)) + "/settings"
}

// version returns the version of the settings in force, 0 when there are none.
func (c *settingsTarget) version(ctx context.Context, api *client.Client) (int64, error) {
	var all httpapi.SettingsVersions
	if err := api.Get(ctx, c.path()+"/versions", &all); err != nil || len(all.Versions) == 0 {
		return 0, err
	}
	return all.Versions[0].Version, nil
}

// settingsView is settings with their version.
type settingsView struct {
	School   string              `json:"school"`
	Version  int64               `json:"version"`
	Settings *consumers.Settings `json:"settings"`
}

// view reads the settings in force. The version is read first: if another change comes between, a
// replacement of this version is refused, as it should be.
func (c *settingsTarget) view(ctx context.Context, api *client.Client) (*settingsView, error) {
	version, err := c.version(ctx, api)
	if err != nil {
		return nil, err
	}
	v := &settingsView{School: string(c.School), Version: version, Settings: &consumers.Settings{}}
	return v, api.Get(ctx, c.path(), v.Settings)
}

type jobsSettingsGetCommand struct {
	settingsTarget `embed:""`
}

func (c *jobsSettingsGetCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	v, err := c.view(ctx, api)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, v)
	}
	if err := printJSON(io.out, v.Settings); err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out)
	return err
}

type jobsSettingsSetCommand struct {
	settingsTarget `embed:""`
	Over           *int64 `placeholder:"VERSION" help:"Only replace this version, as printed by get --json (default: the current one)."`
	File           string `arg:"" default:"-" help:"JSON; - reads standard input."`
}

func (c *jobsSettingsSetCommand) Run(ctx context.Context, io streams) error {
	written, err := c.read(io.in)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	over := c.Over
	if over == nil {
		version, err := c.version(ctx, api)
		if err != nil {
			return err
		}
		over = &version
	}
	err = api.Put(
		ctx, c.path(), strconv.Quote(strconv.FormatInt(*over, 10)), jsontext.Value(written),
	)
	if p, ok := errors.AsType[*client.Problem](err); ok && len(p.Faults) > 0 {
		return c.refuse(io, p)
	}
	if err != nil {
		return err
	}
	v, err := c.view(ctx, api)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, v)
	}
	_, err = fmt.Fprintf(
		io.out, "The settings of school %s are now version %d.\n", c.School, v.Version,
	)
	return err
}

func (c *jobsSettingsSetCommand) read(in io.Reader) ([]byte, error) {
	if c.File == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(c.File)
}

// refuse prints everything that is wrong, one line for each fault.
func (c *jobsSettingsSetCommand) refuse(io streams, p *client.Problem) error {
	if c.JSON {
		if err := printJSON(io.out, map[string]any{"errors": p.Faults}); err != nil {
			return err
		}
		return exitCode(exitFailed)
	}
	for _, f := range p.Faults {
		fmt.Fprintf(io.err, "schoolbell: settings: %s %s\n", f.Pointer, f.Reason)
	}
	return exitCode(exitFailed)
}
