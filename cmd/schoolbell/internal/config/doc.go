// Package config holds the settings of `schoolbell serve`: which there are, as flags and
// SCHOOLBELL_* variables for kong, and how they become the configuration of each package. Nothing
// else reads the environment.
//
// kong fills a Config from flags, variables and defaults, in that order of precedence. Validate
// reports all problems at once, each with the name of its setting, before anything starts; the
// method named Config, or after its package, of each group translates it.
//
// To add a setting, add a field to the group it belongs to and use it in that group's method;
// `schoolbell serve --help`, `schoolbell config` and a test that wants it in docs/OPERATIONS.md
// follow from that. What cannot be chosen well from outside is a constant, not a setting.
package config
