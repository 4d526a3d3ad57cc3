// Package config is the settings of `schoolbell serve`: which there are, as flags and SCHOOLBELL_* variables for kong,
// and how they become the configuration of each package. Nothing else reads the environment.
//
// All faults are reported at once, before anything starts. To add a setting, add a field to the group it belongs to,
// and use it in that group's method; `schoolbell serve --help` and `schoolbell config` follow from that.
package config
