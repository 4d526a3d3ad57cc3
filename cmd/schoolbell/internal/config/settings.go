package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Setting is one value and its source, safe to print.
type Setting struct {
	Flag     string `json:"flag"`
	Variable string `json:"variable,omitzero"`
	Value    string `json:"value"` // without its secrets
	From     string `json:"from"`  // "flag", "variable", "file" or "default"
}

// Settings lists those flags of a parsed command that can also be set by variables.
func Settings(parsed *kong.Context) []Setting {
	given := map[*kong.Flag]bool{}
	for _, p := range parsed.Path {
		if p.Flag != nil && !p.Resolved {
			given[p.Flag] = true
		}
	}
	var settings []Setting
	for _, f := range parsed.Selected().Flags {
		if len(f.Envs) == 0 {
			continue
		}
		s := Setting{Flag: "--" + f.Name, Variable: f.Envs[0], Value: redacted(f), From: "default"}
		if _, ok := os.LookupEnv(f.Envs[0]); ok {
			s.From = "variable"
		}
		if _, file := secretFile(f); file != "" {
			s.From = "file"
		}
		if given[f] {
			s.From = "flag"
		}
		settings = append(settings, s)
	}
	return settings
}

// redacted formats a flag's value. Of a URL it hides only the password, of other secrets
// everything.
func redacted(f *kong.Flag) string {
	value := formatValue(f.Target)
	if value == "" || !f.Tag.Has("secret") {
		return value
	}
	if u, err := url.Parse(value); err == nil && u.Host != "" {
		return u.Redacted()
	}
	return "xxxxx"
}

func formatValue(v reflect.Value) string {
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(v.Interface())
	}
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = fmt.Sprint(v.Index(i).Interface())
	}
	return strings.Join(parts, ",")
}

// CheckVariables reports every variable of a command's flags whose value cannot be parsed. kong
// alone would report the first only.
func CheckVariables(command *kong.Node) error {
	var faults []error
	for _, f := range command.Flags {
		for _, name := range f.Envs {
			value, ok := os.LookupEnv(name)
			if !ok {
				continue
			}
			scratch := reflect.New(f.Target.Type()).Elem()
			token := kong.Token{Type: kong.FlagValueToken, Value: value}
			if err := f.Parse(kong.ScanFromTokens(token), scratch); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	return errors.Join(faults...)
}
