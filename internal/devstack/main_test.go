package devstack

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// children are the programs that this test binary can be started as, to be killed.
var children = map[string]func(dir string) error{
	"postgres": postgresChild,
	"kafka":    kafkaChild,
}

func TestMain(m *testing.M) {
	if child, ok := children[os.Getenv("DEVSTACK_CHILD")]; ok {
		if err := child(os.Getenv("DEVSTACK_DIR")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// startChild starts this binary as a child and returns it with the lines that it prints.
func startChild(t *testing.T, name, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DEVSTACK_CHILD="+name, "DEVSTACK_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewScanner(out)
}
