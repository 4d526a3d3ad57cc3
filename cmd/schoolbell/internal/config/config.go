package config

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Config is every setting of `schoolbell serve`.
type Config struct {
	Roles       []Role        `default:"all" env:"SCHOOLBELL_ROLES" placeholder:"ROLE" help:"What this process does: ${roles}, or all."`
	Data        string        `default:".data" env:"SCHOOLBELL_DATA" help:"Directory of the embedded servers, the development secret, and the address file that other commands read."`
	HTTP        string        `name:"http" default:"127.0.0.1:8080" env:"SCHOOLBELL_HTTP" help:"Address of the public API."`
	Ops         string        `default:"127.0.0.1:9090" env:"SCHOOLBELL_OPS" help:"Address of health and metrics. Do not expose it to the public."`
	OpsHosts    []string      `name:"ops-hosts" env:"SCHOOLBELL_OPS_HOSTS" placeholder:"NAME" help:"Names under which the operations port is requested, besides IP addresses, localhost and names without a dot. Others are refused, as browsers could be led there."`
	OpsProfiles bool          `name:"ops-profiles" env:"SCHOOLBELL_OPS_PROFILES" help:"Serve profiles of the process at /debug/pprof on the operations port."`
	Grace       time.Duration `default:"20s" env:"SCHOOLBELL_GRACE" help:"How long a graceful stop may take before it is forced."`
	DrainDelay  time.Duration `env:"SCHOOLBELL_DRAIN_DELAY" default:"0s" help:"How long to keep serving after /readyz turns red, so that load balancers notice."`

	Kafka       Kafka       `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (embedded unless brokers are given)"`
	Inboxes     Inboxes     `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (embedded unless brokers are given)"`
	Ingest      Ingest      `embed:"" prefix:"ingest-" envprefix:"SCHOOLBELL_INGEST_" group:"Ingest"`
	Database    Database    `embed:"" prefix:"database-" envprefix:"SCHOOLBELL_DATABASE_" group:"PostgreSQL (embedded unless a URL is given)"`
	Redis       Redis       `embed:"" prefix:"redis-" envprefix:"SCHOOLBELL_REDIS_" group:"Redis (embedded unless a URL is given)"`
	JWT         JWT         `embed:"" prefix:"jwt-" envprefix:"SCHOOLBELL_JWT_" group:"Tokens"`
	Audit       Audit       `embed:"" prefix:"audit-" envprefix:"SCHOOLBELL_AUDIT_" group:"Audit"`
	Projections Projections `embed:"" prefix:"projections-" envprefix:"SCHOOLBELL_PROJECTIONS_" group:"Projections"`
	Jobs        Jobs        `embed:"" prefix:"jobs-" envprefix:"SCHOOLBELL_JOBS_" group:"Jobs"`
	Channels    Channels    `embed:"" group:"Channels"`
	FontsDir    string      `name:"fonts-dir" env:"SCHOOLBELL_FONTS_DIR" placeholder:"DIR" group:"Documents" help:"Directory of fonts for letters that the embedded ones lack, as Chinese, Japanese and Korean: .ttf, .otf and .ttc files."`
	Documents   Documents   `embed:"" prefix:"documents-" envprefix:"SCHOOLBELL_DOCUMENTS_" group:"Documents"`
	API         API         `embed:"" prefix:"api-" envprefix:"SCHOOLBELL_API_" group:"API"`
	Log         Log         `embed:"" prefix:"log-" envprefix:"SCHOOLBELL_LOG_" group:"Logs and traces"`
	Trace       Trace       `embed:"" prefix:"trace-" envprefix:"SCHOOLBELL_TRACE_" group:"Logs and traces"`
	Realtime    Realtime    `embed:"" prefix:"realtime-" envprefix:"SCHOOLBELL_REALTIME_" group:"Live connections"`
}

// Role is a part of the work that a process can do.
type Role string

// The roles.
const (
	RoleIngest      Role = "ingest"      // accepts events, and serves the log
	RoleProjections Role = "projections" // folds the log into tables
	RoleConsumers   Role = "consumers"   // plans and executes deliveries
	RoleAPI         Role = "api"         // serves queries
	RoleRealtime    Role = "realtime"    // pushes events to live clients
)

// allRoles is what "all" means.
var allRoles = []Role{RoleIngest, RoleProjections, RoleConsumers, RoleAPI, RoleRealtime}

// RoleNames lists the roles for a help text.
func RoleNames() string {
	names := make([]string, len(allRoles))
	for i, r := range allRoles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

// Has reports whether the process has a role.
func (c *Config) Has(r Role) bool {
	return slices.Contains(c.Roles, r) || slices.Contains(c.Roles, "all")
}

// RolesOfProcess lists the roles that the process has, with those that "all" means.
func (c *Config) RolesOfProcess() []string {
	var names []string
	for _, r := range allRoles {
		if c.Has(r) {
			names = append(names, string(r))
		}
	}
	return names
}

// Embedded reports whether any server has to run inside the process.
func (c *Config) Embedded() bool {
	return len(c.Kafka.Brokers) == 0 || c.Database.URL == "" || c.Redis.URL == ""
}

// Validate reports all problems, each with the name of its setting.
func (c *Config) Validate() error {
	var faults []error
	for _, r := range c.Roles {
		if r != "all" && !slices.Contains(allRoles, r) {
			faults = append(faults, fmt.Errorf("roles: %q is not one of %s, all", r, RoleNames()))
		}
	}
	if len(c.Roles) == 0 {
		faults = append(faults, errors.New("roles: give at least one"))
	}
	for _, a := range []struct{ name, value string }{{"http", c.HTTP}, {"ops", c.Ops}} {
		if _, port, err := net.SplitHostPort(a.value); err != nil || port == "" {
			faults = append(
				faults,
				fmt.Errorf("%s: %q is not an address such as 127.0.0.1:8080", a.name, a.value),
			)
		}
	}
	if c.Data == "" {
		faults = append(faults, errors.New("data: give a directory"))
	}
	if c.Grace <= 0 {
		faults = append(faults, fmt.Errorf("grace: %v is not a positive duration", c.Grace))
	}
	if c.Has(RoleRealtime) && c.Realtime.DrainTime >= c.Grace {
		faults = append(
			faults,
			fmt.Errorf("realtime-drain-time: %v must be shorter than grace (%v)",
				c.Realtime.DrainTime, c.Grace),
		)
	}
	return errors.Join(append(faults,
		c.Kafka.validate(), c.validateInboxes(), c.Ingest.validate(), c.Database.validate(), c.Redis.validate(), c.JWT.validate(), c.Audit.validate(),
		c.API.validate(), c.Projections.validate(), c.Jobs.validate(), c.Channels.validate(), c.Documents.validate(),
		c.Realtime.validate(), c.Log.validate(), c.Trace.validate())...)
}

// Dir returns the path of something in the data directory.
func (c *Config) Dir(elem ...string) string {
	return filepath.Join(append([]string{c.Data}, elem...)...)
}
