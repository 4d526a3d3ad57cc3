package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

var (
	errNotConfirmed = errors.New("nothing was changed")
	errNoTerminal   = usageError{errors.New("confirmation is needed, and there is no terminal: add --yes")}
)

// confirm asks before something that cannot be undone. Scripts pass --yes.
func confirm(io streams, yes bool, consequence string) error {
	if yes {
		return nil
	}
	in, ok := io.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return errNoTerminal
	}
	fmt.Fprintf(io.err, "%s Continue? [y/N] ", consequence)
	reply, _ := bufio.NewReader(in).ReadString('\n') // the end of the input means no
	if r := strings.ToLower(strings.TrimSpace(reply)); r != "y" && r != "yes" {
		return errNotConfirmed
	}
	return nil
}
