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
	errNoTerminal   = usageError{errors.New("there is no terminal to ask at: say --yes")}
)

// confirm asks whether to go on with something that cannot be taken back. Scripts say --yes.
func confirm(io streams, yes bool, question string) error {
	if yes {
		return nil
	}
	in, ok := io.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return errNoTerminal
	}
	fmt.Fprintf(io.err, "%s Go on? [y/N] ", question)
	answer, _ := bufio.NewReader(in).ReadString('\n') // the end of the input is a no
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errNotConfirmed
	}
	return nil
}
