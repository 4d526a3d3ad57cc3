package main

import (
	"errors"
	"regexp"

	"github.com/alecthomas/kong"
)

// schoolID is the id of a school; it must not be empty.
type schoolID string

// Validate is called by kong.
func (s schoolID) Validate() error {
	if s == "" {
		return errors.New("the id of a school must not be empty")
	}
	return nil
}

var negative = regexp.MustCompile(`^-\.?[0-9]`)

// withHint explains a parse error caused by a negative number, which looks like a short flag.
func withHint(args []string, fault error) error {
	if _, ok := errors.AsType[*kong.ParseError](fault); !ok {
		return fault
	}
	for i, arg := range args {
		if i > 0 && negative.MatchString(arg) {
			return hintedError{fault, "write a negative number with an equals sign: " + args[i-1] + "=" + arg}
		}
	}
	return fault
}

// hintedError is an error with what to do about it.
type hintedError struct {
	error
	hint string
}

func (h hintedError) Error() string { return h.error.Error() + " (" + h.hint + ")" }

func (h hintedError) Unwrap() error { return h.error }
