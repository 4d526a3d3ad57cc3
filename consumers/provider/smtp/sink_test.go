package smtp_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/provider/smtp"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// smtp-tester is a mail server by others, which parses with mailparser.
func TestAgainstSMTPTester(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	modules := filepath.Join(devtest.NodePackages(t, os.DirFS("testdata")), "node_modules")
	port := freePort(t)
	script, err := filepath.Abs("testdata/sink.js")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script, strconv.Itoa(port))
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		require.NoError(t, stdin.Close())
		require.NoError(t, cmd.Wait())
	}()
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "the server is up")

	p := client(t, smtp.Config{Host: "127.0.0.1", Port: port})
	for _, language := range []string{"en", "ar"} {
		_, err = p.Send(t.Context(), letter("d-"+language, language))
		require.NoError(t, err)
		require.True(t, lines.Scan())
		var got struct{ Address, From, Subject, Language, Text, HTML string }
		require.NoError(t,
			json.Unmarshal(lines.Bytes(), &got, json.MatchCaseInsensitiveNames(true)))
		require.Equal(t, "anne@home.example", got.Address)
		require.Equal(t, "school@oak.example", got.From)
		require.Equal(t, language, got.Language)
		require.Contains(t, got.Subject, "Zoë <Roi>")
		require.Contains(t, got.Text, "https://oak.example/d/1?s=a&t=b")
		require.Contains(t, got.HTML, "Zoë &lt;Roi&gt;")
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
